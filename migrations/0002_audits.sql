-- Audits; and every table again in a form that spends few bytes on a scored image.
--
-- Ids (16 bytes) and digests (32) are BLOBs. Tables that are read by their key are WITHOUT ROWID,
-- so that no row is looked up twice; PostgreSQL does without these words, and reads INTEGER PRIMARY
-- KEY as an identity. score_shape(), score_own(), sha256(), bytes_of() and id_ms() are ours
-- (server/store/functions.c) and serve this file only.

ALTER TABLE recipe RENAME TO old_recipe;
ALTER TABLE score RENAME TO old_score;
ALTER TABLE job RENAME TO old_job;
ALTER TABLE item RENAME TO old_item;
ALTER TABLE image RENAME TO old_image;
DROP INDEX score_created;
DROP INDEX score_m;
DROP INDEX score_pair_created;
DROP INDEX score_pair_m;
DROP INDEX score_image_created;
DROP INDEX item_queued;
DROP INDEX item_running;
DROP INDEX item_score;

-- Canonical JSON of every recipe that a job named.
CREATE TABLE recipe (
    digest BLOB NOT NULL PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT;

-- What many scores have in common: their document with holes (server/store/document.h).
CREATE TABLE shape (
    id     INTEGER NOT NULL PRIMARY KEY,
    digest BLOB    NOT NULL UNIQUE,
    body   TEXT    NOT NULL
) STRICT;

-- One row per identity (key): history. The id begins with the time of creation; rows of the first
-- schema, where the two could differ by a millisecond, keep theirs.
CREATE TABLE score (
    id           BLOB    NOT NULL PRIMARY KEY,
    key          BLOB    NOT NULL UNIQUE,
    created_ms   INTEGER,
    pair         TEXT    NOT NULL,
    image_digest BLOB    NOT NULL,
    m            REAL    NOT NULL,
    shape_id     INTEGER NOT NULL REFERENCES shape (id),
    own          TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- The orders of the listing; that of time is the order of ids. An image has few scores, so one
-- index serves both of its orders.
CREATE INDEX score_m ON score (m, id);
CREATE INDEX score_pair ON score (pair, id);
CREATE INDEX score_pair_m ON score (pair, m, id);
CREATE INDEX score_image ON score (image_digest, id);

-- The counts are those of the job's items by state; what is in none of them is running. They change
-- with the items, in the same transaction. `revision` is raised by every change of job or items.
CREATE TABLE job (
    id              BLOB    NOT NULL PRIMARY KEY,
    kind            TEXT    NOT NULL CHECK (kind IN ('score', 'audit')),
    state           TEXT    NOT NULL CHECK (state IN ('open', 'queued', 'running', 'paused',
                                                      'succeeded', 'failed', 'cancelled')),
    pair            TEXT    NOT NULL,
    recipe_digest   BLOB    NOT NULL REFERENCES recipe (digest),
    created_ms      INTEGER NOT NULL,
    started_ms      INTEGER,
    finished_ms     INTEGER,
    revision        INTEGER NOT NULL DEFAULT 0,
    items_count     INTEGER NOT NULL,
    queued_count    INTEGER NOT NULL,
    succeeded_count INTEGER NOT NULL DEFAULT 0,
    failed_count    INTEGER NOT NULL DEFAULT 0,
    cancelled_count INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Where the next claim is: plain jobs ('score') before audits, the oldest first. Few audits that are
-- open or paused stand among them.
CREATE INDEX job_queued ON job (kind DESC, id) WHERE queued_count > 0;
CREATE INDEX job_audit ON job (id) WHERE kind = 'audit';

-- `cohort` (enum sm_cohort) and the labels are those of an audit's items.
CREATE TABLE item (
    job_id         BLOB    NOT NULL REFERENCES job (id),
    idx            INTEGER NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed',
                                                     'cancelled')),
    name           TEXT    NOT NULL,
    image_digest   BLOB, -- NULL: a file that could not be read
    cohort         INTEGER,
    class_label    TEXT,
    group_label    TEXT,
    attempt        INTEGER NOT NULL DEFAULT 0,
    lease_owner    TEXT,
    lease_until_ms INTEGER,
    score_id       BLOB REFERENCES score (id),
    from_history   INTEGER NOT NULL DEFAULT 0,
    error_code     TEXT,
    error_detail   TEXT,
    PRIMARY KEY (job_id, idx)
) STRICT, WITHOUT ROWID;

-- With the state although it is always the same: more terms than the primary key can serve make the
-- planner choose these.
CREATE INDEX item_queued ON item (job_id, state, idx) WHERE state = 'queued';
CREATE INDEX item_running ON item (lease_until_ms) WHERE state = 'running';
CREATE INDEX item_failed ON item (job_id, state, idx) WHERE state = 'failed';
CREATE INDEX item_score ON item (score_id) WHERE score_id IS NOT NULL;
-- Finds images that an open audit has already; scored ones leave it. It has every column asked for,
-- again for the planner.
CREATE INDEX item_cohort ON item (job_id, cohort, image_digest, name, score_id)
    WHERE cohort IS NOT NULL AND score_id IS NULL;

-- Bytes of the images that wait for their score, or the file that has them: apart from `item`, so
-- that a change of state does not rewrite them.
CREATE TABLE image (
    job_id BLOB    NOT NULL,
    idx    INTEGER NOT NULL,
    path   TEXT,
    bytes  BLOB,
    PRIMARY KEY (job_id, idx),
    FOREIGN KEY (job_id, idx) REFERENCES item (job_id, idx),
    CHECK ((path IS NULL) <> (bytes IS NULL))
) STRICT;

-- What an audit has beside its job. A job of kind 'audit' without this row is being deleted.
CREATE TABLE audit (
    job_id          BLOB    NOT NULL PRIMARY KEY REFERENCES job (id),
    spec            TEXT    NOT NULL,
    pair_document   TEXT    NOT NULL, -- of the pair as it was loaded when the audit was made
    keep_thumbnails INTEGER NOT NULL, -- of the spec
    reason          TEXT              -- why it is paused
) STRICT, WITHOUT ROWID;

-- Its progress: counts of the items by cohort, and of the failed ones by reason.
CREATE TABLE audit_cohort (
    job_id          BLOB    NOT NULL REFERENCES audit (job_id),
    cohort          INTEGER NOT NULL,
    items_count     INTEGER NOT NULL DEFAULT 0,
    succeeded_count INTEGER NOT NULL DEFAULT 0,
    failed_count    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, cohort)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_failure (
    job_id BLOB    NOT NULL REFERENCES audit (job_id),
    code   TEXT    NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (job_id, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE thumbnail (
    job_id BLOB    NOT NULL,
    idx    INTEGER NOT NULL,
    png    BLOB    NOT NULL,
    PRIMARY KEY (job_id, idx),
    FOREIGN KEY (job_id, idx) REFERENCES item (job_id, idx)
) STRICT;

-- 32 random bytes, made when the database is: the key of digests in exports.
CREATE TABLE secret (
    id  INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    key BLOB    NOT NULL
) STRICT;

INSERT INTO recipe (digest, body) SELECT bytes_of(digest), body FROM old_recipe;

INSERT INTO shape (digest, body) SELECT sha256(body), body FROM
    (SELECT DISTINCT score_shape(body, image_digest, key) AS body FROM old_score) AS shapes;

INSERT INTO score (id, key, created_ms, pair, image_digest, m, shape_id, own)
    SELECT bytes_of(id), bytes_of(key), nullif(created_ms, id_ms(id)), pair, bytes_of(image_digest), m,
           (SELECT shape.id FROM shape
            WHERE shape.digest = sha256(score_shape(old_score.body, image_digest, key))),
           score_own(body, image_digest, key)
    FROM old_score ORDER BY id;

INSERT INTO job (id, kind, state, pair, recipe_digest, created_ms, started_ms, finished_ms,
                 items_count, queued_count, succeeded_count, failed_count, cancelled_count)
    SELECT bytes_of(id), 'score', state, pair, bytes_of(recipe_digest), created_ms, started_ms,
           finished_ms,
           (SELECT COUNT(*) FROM old_item WHERE job_id = old_job.id),
           (SELECT COUNT(*) FROM old_item WHERE job_id = old_job.id AND state = 'queued'),
           (SELECT COUNT(*) FROM old_item WHERE job_id = old_job.id AND state = 'succeeded'),
           (SELECT COUNT(*) FROM old_item WHERE job_id = old_job.id AND state = 'failed'),
           (SELECT COUNT(*) FROM old_item WHERE job_id = old_job.id AND state = 'cancelled')
    FROM old_job ORDER BY id;

INSERT INTO item (job_id, idx, state, name, image_digest, attempt, lease_owner, lease_until_ms,
                  score_id, from_history, error_code, error_detail)
    SELECT bytes_of(job_id), idx, state, name, bytes_of(image_digest), attempt, lease_owner,
           lease_until_ms, bytes_of(score_id), from_history, error_code, error_detail
    FROM old_item ORDER BY job_id, idx;

INSERT INTO image (job_id, idx, bytes) SELECT bytes_of(job_id), idx, bytes FROM old_image;

DROP TABLE old_image;
DROP TABLE old_item;
DROP TABLE old_score;
DROP TABLE old_job;
DROP TABLE old_recipe;
