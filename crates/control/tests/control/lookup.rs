//! Lookup tables: which files are tables, and that a table is never half replaced.

use std::fs;

use crate::common::{brought, store};
use forebay_control::{Control, LOOKUP_BYTES_MAX, LookupError, check_csv, lookup_file_path};
use forebay_record::ProjectId;

const TABLE: &str = "55b4fb2b-e8de-466c-930f-8b36640b9b5e";

fn with_project() -> (tempfile::TempDir, Control, ProjectId) {
    let (dir, control) = store();
    control.host().create_project(&brought(1001, "t")).unwrap();
    (dir, control, ProjectId::new(1001).unwrap())
}

#[test]
fn files_that_are_tables_pass() {
    let cases: [(&[u8], u64); 12] = [
        (b"id,name\nk1,v1\nk2,v2\n", 2),
        (b"id,name\r\nk1,v1\r\nk2,v2", 2),
        (b"id\n", 0),
        (b"id", 0),
        (b"\xef\xbb\xbfid,name\nk,v\n", 1),
        (b"id,name\n\"a,b\",\"line\nbreak\"\n", 1),
        (b"id,name\n\"say \"\"hi\"\"\",x\n", 1),
        (b"id,name\n\n\nk,v\n\n", 1),
        (b"\"id\",\"na,me\"\nk,v\n", 1),
        (b"id,name\n,v\nk,\n", 2),
        ("id,name\nschlüssel,😀\n".as_bytes(), 1),
        (b"id,name\nK,1\nk,2\n k,3\n", 3),
    ];
    for (csv, rows) in cases {
        assert_eq!(check_csv(csv), Ok(rows), "{}", String::from_utf8_lossy(csv));
    }
}

#[test]
fn files_that_are_none_name_the_record_and_the_fault() {
    type Faults<'a> = &'a [(u64, &'a str)];
    let cases: [(&[u8], Faults<'_>); 11] = [
        (b"", &[(0, "the file is empty, a header is needed")]),
        (b"\n\n", &[(0, "the file is empty, a header is needed")]),
        (b"a,a\n", &[(0, "the header has two columns \"a\"")]),
        (
            b"id,name\nk1,v1\nk1,v2\nk3\n",
            &[
                (1, "the key \"k1\" is that of record 0 too"),
                (2, "the record has 1 columns, the header has 2"),
            ],
        ),
        (b"id\na,b\n", &[(0, "the record has 2 columns, the header has 1")]),
        (b"id,n\nk,\xff\n", &[(0, "the record is not UTF-8")]),
        (b"id,\xff\n", &[(0, "a column name in the header is not UTF-8")]),
        (b"id,n\nk,5\" pipe\n", &[(0, "a quote within an unquoted field; quote the field")]),
        (b"id,n\nk,v\nl,\"open\n", &[(1, "a quote that nothing closes")]),
        (b"id,n\nk,\"v\"x\n", &[(0, "text after the quote that closes a field")]),
        (b"id,n\n\"k\",1\nk,2\n", &[(1, "the key \"k\" is that of record 0 too")]),
    ];
    for (csv, expected) in cases {
        let faults = check_csv(csv).unwrap_err();
        let faults: Vec<_> = faults.iter().map(|fault| (fault.index, &*fault.message)).collect();
        assert_eq!(faults, expected, "{}", String::from_utf8_lossy(csv));
    }
}

#[test]
fn at_most_ten_faults_are_reported() {
    let csv = format!("id,n\n{}{}", "short\n".repeat(20), "same,1\n".repeat(20));
    assert_eq!(check_csv(csv.as_bytes()).unwrap_err().len(), 10);
    let csv = format!("id,n\n{}", "same,1\n".repeat(20));
    assert_eq!(check_csv(csv.as_bytes()).unwrap_err().len(), 10);
}

#[test]
fn a_table_is_created_replaced_and_read_back() {
    let (dir, control, project) = with_project();
    let table = control.create_lookup_table(project, "Accounts", Some(TABLE)).unwrap();
    assert_eq!((&*table.id, &*table.name, table.file.as_ref()), (TABLE, "Accounts", None));

    let first = b"id,name\nk1,v1\n";
    let written = control.write_lookup_file(project, TABLE, first).unwrap();
    assert_eq!(control.lookup_table(project, TABLE).unwrap().file, None, "not yet in force");
    assert_eq!(fs::read(dir.path().join(&written.path)).unwrap(), first);
    let table = control.use_lookup_file(project, TABLE, &written).unwrap();
    assert_eq!(table.file.as_ref(), Some(&written));

    let second = b"id,name\nk1,v2\nk2,v3\n";
    let table = control.replace_lookup_table(project, &TABLE.to_uppercase(), second).unwrap();
    let file = table.file.as_ref().unwrap();
    assert_eq!((file.rows, file.bytes), (2, 20));
    assert_eq!(fs::read(lookup_file_path(dir.path(), &table.id, &file.sha256)).unwrap(), second);
    assert_eq!(control.list_lookup_tables(project).unwrap(), std::slice::from_ref(&table));
    assert_eq!(
        control.replace_lookup_table(project, TABLE, second).unwrap(),
        table,
        "the same again is fine"
    );
    assert!(dir.path().join(&written.path).exists(), "whoever reads the one before may go on");
}

#[test]
fn a_refused_replacement_leaves_the_table_as_it_was() {
    let (dir, control, project) = with_project();
    control.create_lookup_table(project, "Accounts", Some(TABLE)).unwrap();
    let before = control.replace_lookup_table(project, TABLE, b"id\nk\n").unwrap();
    let invalid = control.replace_lookup_table(project, TABLE, b"id,name\nk1,v1\nk1,v2\nk3\n").unwrap_err();
    assert!(
        matches!(&invalid, LookupError::Invalid { failed_records } if failed_records.len() == 2),
        "{invalid}"
    );
    let large = vec![b'x'; usize::try_from(LOOKUP_BYTES_MAX).unwrap() + 1];
    let large = control.replace_lookup_table(project, TABLE, &large).unwrap_err();
    assert_eq!(large.to_string(), "the table has 104857601 bytes, the limit is 104857600");
    assert_eq!(control.lookup_table(project, TABLE).unwrap(), before);
    let files = fs::read_dir(dir.path().join("lookup").join(TABLE)).unwrap().count();
    assert_eq!(files, 1, "nothing of what was refused stays");
}

#[test]
fn files_long_out_of_use_are_removed() {
    let (dir, control, project) = with_project();
    control.create_lookup_table(project, "Accounts", Some(TABLE)).unwrap();
    let folder = dir.path().join("lookup").join(TABLE);
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(4000);
    for round in 0..4 {
        control.replace_lookup_table(project, TABLE, format!("id\n{round}\n").as_bytes()).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let file = fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
            file.set_modified(hour_ago).unwrap();
        }
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "the current one and the one before");
}

#[test]
fn tables_are_refused_that_break_a_rule_and_belong_to_one_project() {
    let (_dir, control, project) = with_project();
    control.host().create_project(&brought(1002, "u")).unwrap();
    let other = ProjectId::new(1002).unwrap();
    control.create_lookup_table(project, "Accounts", Some(TABLE)).unwrap();
    let chosen = control.create_lookup_table(project, "Chosen", None).unwrap().id;
    assert!(chosen.len() == 36 && chosen.as_bytes()[14] == b'4', "{chosen}");
    let cases = [
        (control.create_lookup_table(project, "Accounts", None), "has a lookup table \"Accounts\" already"),
        (control.create_lookup_table(other, "Other", Some(TABLE)), "exists already"),
        (control.create_lookup_table(other, "Other", Some("../../etc/passwd")), "is no UUID such as"),
        (control.create_lookup_table(other, "", None), "lookup table name \"\" is not"),
        (control.create_lookup_table(ProjectId::new(9).unwrap(), "x", None), "there is no project 9"),
        (control.lookup_table(other, TABLE), "project 1002 has no lookup table"),
        (control.replace_lookup_table(other, TABLE, b"id\n"), "project 1002 has no lookup table"),
        (control.lookup_table(project, "00000000-0000-4000-8000-000000000000"), "has no lookup table"),
    ];
    for (result, expected) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
