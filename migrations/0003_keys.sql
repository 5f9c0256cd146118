-- Who may do what: tenants, the keys of their clients, and the log of who read what.
--
-- Every score and job belongs to a tenant, what was there before to 'default'. The identity of a
-- score holds within its tenant: the same content asked for by two of them is computed twice and
-- stored twice, so that neither the answer nor its speed tells one what another has asked for. The
-- table of scores is written anew because SQLite cannot drop a UNIQUE of a column; PostgreSQL
-- would alter it.

CREATE TABLE tenant (
    id   INTEGER NOT NULL PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
) STRICT;

INSERT INTO tenant (id, name) VALUES (0, 'default');

-- Never deleted: once there was a key, nobody is served without one. Of a token only BLAKE2b of its
-- secret is kept. `old_hash` is that of the secret before the last rotation, good until
-- `old_until_ms`.
CREATE TABLE api_key (
    id             BLOB    NOT NULL PRIMARY KEY,
    prefix         TEXT    NOT NULL UNIQUE,
    tenant_id      INTEGER NOT NULL REFERENCES tenant (id),
    scopes         TEXT    NOT NULL, -- words, a space between them
    hash           BLOB    NOT NULL,
    old_hash       BLOB,
    old_until_ms   INTEGER,
    created_ms     INTEGER NOT NULL,
    expires_ms     INTEGER, -- NULL: never
    revoked_ms     INTEGER,
    last_used_day  INTEGER, -- days since 1970-01-01, UTC
    scores_per_day INTEGER, -- NULL: no budget
    decimals       INTEGER  -- NULL: figures are given as they are
) STRICT, WITHOUT ROWID;

-- Scores that a key with a budget asked for.
CREATE TABLE key_day (
    key_id       BLOB    NOT NULL REFERENCES api_key (id),
    day          INTEGER NOT NULL,
    scores_count INTEGER NOT NULL,
    PRIMARY KEY (key_id, day)
) STRICT, WITHOUT ROWID;

-- Reads, and the scores, jobs and audits that each of them told of. Nobody changes or deletes a row.
CREATE TABLE access (
    id        INTEGER NOT NULL PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    key_id    BLOB    NOT NULL REFERENCES api_key (id),
    request   TEXT    NOT NULL, -- its X-Request-Id
    operation TEXT    NOT NULL  -- operationId in openapi.yaml
) STRICT;

CREATE TABLE access_record (
    record_id BLOB    NOT NULL,
    access_id INTEGER NOT NULL REFERENCES access (id),
    PRIMARY KEY (record_id, access_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER access_stays BEFORE UPDATE ON access
    BEGIN SELECT RAISE(ABORT, 'the access log is append-only'); END;
CREATE TRIGGER access_is_kept BEFORE DELETE ON access
    BEGIN SELECT RAISE(ABORT, 'the access log is append-only'); END;
CREATE TRIGGER access_record_stays BEFORE UPDATE ON access_record
    BEGIN SELECT RAISE(ABORT, 'the access log is append-only'); END;
CREATE TRIGGER access_record_is_kept BEFORE DELETE ON access_record
    BEGIN SELECT RAISE(ABORT, 'the access log is append-only'); END;

CREATE TABLE new_score (
    id           BLOB    NOT NULL PRIMARY KEY,
    tenant_id    INTEGER NOT NULL REFERENCES tenant (id),
    key          BLOB    NOT NULL,
    created_ms   INTEGER,
    pair         TEXT    NOT NULL,
    image_digest BLOB    NOT NULL,
    m            REAL    NOT NULL,
    shape_id     INTEGER NOT NULL REFERENCES shape (id),
    own          TEXT    NOT NULL,
    UNIQUE (tenant_id, key)
) STRICT, WITHOUT ROWID;

INSERT INTO new_score (id, tenant_id, key, created_ms, pair, image_digest, m, shape_id, own)
    SELECT id, 0, key, created_ms, pair, image_digest, m, shape_id, own FROM score ORDER BY id;

DROP TABLE score;
ALTER TABLE new_score RENAME TO score;

CREATE INDEX score_time ON score (tenant_id, id);
CREATE INDEX score_m ON score (tenant_id, m, id);
CREATE INDEX score_pair ON score (tenant_id, pair, id);
CREATE INDEX score_pair_m ON score (tenant_id, pair, m, id);
CREATE INDEX score_image ON score (image_digest, tenant_id, id);

ALTER TABLE job ADD COLUMN tenant_id INTEGER NOT NULL DEFAULT 0 REFERENCES tenant (id);
DROP INDEX job_audit;
CREATE INDEX job_audit ON job (tenant_id, id) WHERE kind = 'audit';
