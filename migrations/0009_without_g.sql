-- Scores of a pair without g have no m: the column may be NULL.
--
-- SQLite cannot drop a NOT NULL, and writing the table anew would copy every score. Its documentation
-- (ALTER TABLE, "Making other kinds of table schema changes") allows this edit of the schema for it,
-- because the rows stay as they are. PostgreSQL: ALTER TABLE score ALTER COLUMN m DROP NOT NULL.

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'm            REAL    NOT NULL', 'm            REAL')
    WHERE type = 'table' AND name = 'score';
PRAGMA writable_schema = RESET;
