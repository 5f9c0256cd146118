-- Jobs, their items, the images in flight, and the history of scores.
--
-- STRICT tables know INTEGER, REAL, TEXT and BLOB only. For PostgreSQL read BIGINT, DOUBLE
-- PRECISION, TEXT and BYTEA, and drop STRICT; nothing else here is SQLite's own. Times are Unix
-- milliseconds, ids are UUIDv7 text, digests are SHA-256 in hex.

-- Canonical JSON of every recipe that a job named.
CREATE TABLE recipe (
    digest TEXT NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT;

-- One row per identity (key): history. `body` is the score document without id and created.
CREATE TABLE score (
    id            TEXT    NOT NULL PRIMARY KEY,
    key           TEXT    NOT NULL UNIQUE,
    created_ms    INTEGER NOT NULL,
    pair          TEXT    NOT NULL,
    pair_digest   TEXT    NOT NULL,
    image_digest  TEXT    NOT NULL,
    recipe_digest TEXT    NOT NULL REFERENCES recipe (digest),
    m             REAL    NOT NULL,
    body          TEXT    NOT NULL
) STRICT;

-- The orders of the listing. An image has few scores, so one index serves both of its orders.
CREATE INDEX score_created ON score (created_ms, id);
CREATE INDEX score_m ON score (m, id);
CREATE INDEX score_pair_created ON score (pair, created_ms, id);
CREATE INDEX score_pair_m ON score (pair, m, id);
CREATE INDEX score_image_created ON score (image_digest, created_ms, id);

CREATE TABLE job (
    id            TEXT    NOT NULL PRIMARY KEY,
    state         TEXT    NOT NULL
                  CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    pair          TEXT    NOT NULL,
    recipe_digest TEXT    NOT NULL REFERENCES recipe (digest),
    created_ms    INTEGER NOT NULL,
    started_ms    INTEGER,
    finished_ms   INTEGER
) STRICT;

CREATE TABLE item (
    job_id         TEXT    NOT NULL REFERENCES job (id),
    idx            INTEGER NOT NULL,
    state          TEXT    NOT NULL
                   CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    name           TEXT    NOT NULL,
    media_type     TEXT    NOT NULL,
    image_digest   TEXT    NOT NULL,
    attempt        INTEGER NOT NULL DEFAULT 0,
    lease_owner    TEXT,
    lease_until_ms INTEGER,
    score_id       TEXT REFERENCES score (id),
    from_history   INTEGER NOT NULL DEFAULT 0,
    error_code     TEXT,
    error_detail   TEXT,
    PRIMARY KEY (job_id, idx)
) STRICT;

CREATE INDEX item_queued ON item (job_id, idx) WHERE state = 'queued';
CREATE INDEX item_running ON item (lease_until_ms) WHERE state = 'running';
CREATE INDEX item_score ON item (score_id);

-- Bytes of the images that wait for their score: apart from `item`, so that a change of state does
-- not rewrite them.
CREATE TABLE image (
    job_id TEXT    NOT NULL,
    idx    INTEGER NOT NULL,
    bytes  BLOB    NOT NULL,
    PRIMARY KEY (job_id, idx),
    FOREIGN KEY (job_id, idx) REFERENCES item (job_id, idx)
) STRICT;
