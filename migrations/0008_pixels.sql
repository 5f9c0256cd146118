-- Pixel features of an audit's images (include/sslmem/pixels.h), for its controls. They are stored
-- with the item: the item's score may come from history, which has none. Audits made before have no
-- features and keep_pixels 0; their controls by pixels stay unmeasured.

ALTER TABLE item ADD COLUMN pixels BLOB;
ALTER TABLE audit ADD COLUMN keep_pixels INTEGER NOT NULL DEFAULT 0; -- of the spec: controls are on
