-- Scores of a pair without g have no m: the column may be NULL.
--
-- SQLite cannot drop a NOT NULL, and writing the table anew would copy every score. Its documentation
-- (ALTER TABLE, "Making other kinds of table schema changes") allows this edit of the schema for it,
-- because the rows stay as they are. PostgreSQL: ALTER TABLE score ALTER COLUMN m DROP NOT NULL.

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'm            REAL    NOT NULL', 'm            REAL')
    WHERE type = 'table' AND name = 'score';
PRAGMA writable_schema = RESET;

-- Fails unless the edit took place: the column m is found once, and may be NULL.
CREATE TEMP TABLE m_may_be_null (yes INTEGER NOT NULL CHECK (yes = 1));
INSERT INTO m_may_be_null SELECT "notnull" = 0 FROM pragma_table_info('score') WHERE name = 'm';
INSERT INTO m_may_be_null SELECT count(*) FROM m_may_be_null;
DROP TABLE m_may_be_null;
