-- What images cost (include/sslmem/cost.h), in nominal processor milliseconds, and the order of claims.
--
-- A job's turn is when it came plus what its dearest image costs: a cheap image passes dear ones that
-- wait, and no image waits for ever. An item whose process died goes behind the others of its job.

ALTER TABLE item ADD COLUMN cost_ms INTEGER NOT NULL DEFAULT 1;

ALTER TABLE job ADD COLUMN cost_ms INTEGER NOT NULL DEFAULT 0;      -- of all items
ALTER TABLE job ADD COLUMN done_cost_ms INTEGER NOT NULL DEFAULT 0; -- of those that have ended
ALTER TABLE job ADD COLUMN item_cost_ms INTEGER NOT NULL DEFAULT 1; -- of the dearest item
ALTER TABLE job ADD COLUMN turn_ms INTEGER NOT NULL DEFAULT 0;

UPDATE job SET turn_ms = created_ms, cost_ms = items_count,
               done_cost_ms = succeeded_count + failed_count + cancelled_count;

DROP INDEX job_queued;
CREATE INDEX job_queued ON job (kind DESC, turn_ms, id) WHERE queued_count > 0;
-- The cheapest that waits: asked for all along dear items.
CREATE INDEX job_cheap ON job (item_cost_ms, id) WHERE queued_count > 0 AND kind = 'score';
DROP INDEX item_queued;
CREATE INDEX item_queued ON item (job_id, state, attempt, idx) WHERE state = 'queued';

-- A key may have a budget of work beside that of scores.
ALTER TABLE api_key ADD COLUMN cost_ms_per_day INTEGER; -- NULL: no budget
ALTER TABLE key_day ADD COLUMN cost_ms INTEGER NOT NULL DEFAULT 0;
