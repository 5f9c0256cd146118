-- Erasure of images (server/store/erase.c) and retention (server/store/expire.c).

-- When what tells of the image was taken out of the row.
ALTER TABLE item ADD COLUMN erased_ms INTEGER;
ALTER TABLE audit ADD COLUMN erased_count INTEGER NOT NULL DEFAULT 0;

-- Finds the items of an image that have no score; the others are found by theirs.
CREATE INDEX item_unscored ON item (image_digest, score_id) WHERE score_id IS NULL;
