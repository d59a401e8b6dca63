-- Version 16: attempts to sign in from a browser that the person has signed in with before are counted by that.

-- NULL: from elsewhere. Else a name made up for the browser.
ALTER TABLE sign_ins ADD COLUMN device TEXT CHECK (length(device) = 32);
