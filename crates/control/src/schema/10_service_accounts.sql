-- Version 10: service accounts act. They have a role in their organisation, may be narrowed, and may invite.

-- scopes are words between commas; NULL: the account is not narrowed, and may what its roles let it.
ALTER TABLE service_accounts ADD COLUMN organisation_role TEXT NOT NULL DEFAULT 'member'
    CHECK (organisation_role IN ('owner', 'admin', 'member'));
ALTER TABLE service_accounts ADD COLUMN scopes TEXT CHECK (scopes <> '');

-- As with invited_by: worth what its giver may give, when it is taken.
ALTER TABLE invitations ADD COLUMN invited_by_account INTEGER REFERENCES service_accounts (id) ON DELETE CASCADE;
