-- Finds the stored answers about a job or a score, for its erasure (server/store/erase.c).
CREATE INDEX idempotency_resource ON idempotency (resource) WHERE resource IS NOT NULL;
