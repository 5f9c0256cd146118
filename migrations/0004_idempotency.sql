-- Keys of requests that may be sent again, and the answers that they got.
--
-- A row comes with what the request made, in its transaction, and gets the answer afterwards; or it
-- comes with the answer when nothing was made. `scope` is whose key it is, and "" while there is
-- only one client. `resource` is the job or audit that the request made or changed, `fingerprint`
-- the SHA-256 of the request. Rows of a scope are numbered, so that the oldest over the limit are
-- found by one look into an index.
CREATE TABLE idempotency (
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL,
    resource    BLOB,
    status      INTEGER, -- NULL: no answer is stored
    headers     TEXT,    -- a JSON object
    body        TEXT,
    PRIMARY KEY (scope, key)
) STRICT;

CREATE UNIQUE INDEX idempotency_seq ON idempotency (scope, seq);
CREATE INDEX idempotency_created ON idempotency (created_ms);

-- Who asked for a job: the id of the request and the trace-id of its traceparent, or ''.
ALTER TABLE job ADD COLUMN request TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN trace TEXT NOT NULL DEFAULT '';
