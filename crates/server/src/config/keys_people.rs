//! The settings of what reaches people: where the console is, how many addresses, mail, text messages.

use super::key::{Key, text, texts, whole};
use forebay_notify::MailTls;
use std::path::PathBuf;

/// All of them.
pub(super) const KEYS: &[Key] = &[
    text(
        "console.url",
        "an address such as https://console.example.com, or nothing",
        |c, s| {
            let is_url = s.starts_with("https://") || s.starts_with("http://");
            c.console_url = is_url.then(|| s.to_owned());
            (is_url || s.is_empty()).then_some(())
        },
        "Where people reach the console, for the links in mails",
    ),
    whole(
        "people.person_addresses_hour_max",
        1,
        1_000_000,
        |c, n| c.outreach.person_hour_max = n,
        "How many addresses a person or service account may invite or have written to within an hour",
    ),
    whole(
        "people.organisation_addresses_hour_max",
        1,
        1_000_000,
        |c, n| c.outreach.organisation_hour_max = n,
        "How many addresses all those of an organisation may invite within an hour",
    ),
    text(
        "mail.host",
        "the name or address of a mail server, or nothing",
        |c, s| {
            s.clone_into(&mut c.mail.host);
            (!s.contains([':', '/', ' '])).then_some(())
        },
        "The mail server that notices go out by; without one none are sent",
    ),
    whole(
        "mail.port",
        1,
        65_535,
        |c, n| c.mail.port = u16::try_from(n).ok(),
        "Its port; 587 with starttls, 465 with tls, 25 without, unless said",
    ),
    text(
        "mail.tls",
        "\"starttls\", \"tls\" (from the first byte) or \"none\"",
        |c, s| {
            c.mail.tls = match s {
                "starttls" => MailTls::StartTls,
                "tls" => MailTls::Tls,
                "none" => MailTls::None,
                _ => return None,
            };
            Some(())
        },
        "How the connection to it is encrypted",
    ),
    text(
        "mail.ca_file",
        "a PEM file, or nothing",
        |c, s| {
            c.mail.ca_file = (!s.is_empty()).then(|| PathBuf::from(s));
            Some(())
        },
        "A certificate to trust besides the system's, for a mail server with one of its own",
    ),
    text(
        "mail.user",
        "a name, or nothing",
        |c, s| {
            s.clone_into(&mut c.mail.user);
            Some(())
        },
        "Who signs in to the mail server; empty: nobody does",
    ),
    text(
        "mail.password_file",
        "a file, or nothing",
        |c, s| {
            c.mail.password_file = (!s.is_empty()).then(|| PathBuf::from(s));
            Some(())
        },
        "The file whose first line is the password for it",
    ),
    text(
        "mail.from",
        "an address such as \"Forebay <forebay@example.com>\"",
        |c, s| {
            s.clone_into(&mut c.mail.from);
            s.contains('@').then_some(())
        },
        "The sender of mails",
    ),
    text(
        "second_factor.gateway.url",
        "an address such as https://api.example.com/messages, or nothing",
        |c, s| {
            let is_url = s.starts_with("https://") || s.starts_with("http://");
            s.clone_into(&mut c.gateway.url);
            (is_url || s.is_empty()).then_some(())
        },
        "What brings text messages with codes to phones; without it a phone is nobody's second factor",
    ),
    text(
        "second_factor.gateway.method",
        "\"POST\", \"PUT\" or \"GET\"",
        |c, s| {
            s.clone_into(&mut c.gateway.method);
            matches!(s, "POST" | "PUT" | "GET").then_some(())
        },
        "How it is asked",
    ),
    texts(
        "second_factor.gateway.headers",
        "headers such as \"Authorization: Bearer {secret}\"",
        |c, list| {
            c.gateway.headers = list.to_vec();
            list.iter().all(|header| header.contains(':')).then_some(())
        },
        "What goes along; `{secret}` stands for the secret",
    ),
    text(
        "second_factor.gateway.secret_file",
        "a file, or nothing",
        |c, s| {
            c.gateway.secret_file = (!s.is_empty()).then(|| PathBuf::from(s));
            Some(())
        },
        "The file whose first line `{secret}` stands for",
    ),
    text(
        "second_factor.gateway.body",
        "a text",
        |c, s| {
            s.clone_into(&mut c.gateway.body);
            Some(())
        },
        "What is sent; `{number}`, `{digits}` (without the plus), `{code}` and `{secret}` stand for what they say",
    ),
    text(
        "second_factor.gateway.ca_file",
        "a PEM file, or nothing",
        |c, s| {
            c.gateway.ca_file = (!s.is_empty()).then(|| PathBuf::from(s));
            Some(())
        },
        "A certificate to trust besides the system's, for a gateway with one of its own",
    ),
];
