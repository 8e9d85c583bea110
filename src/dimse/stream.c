#include "dimse/stream_priv.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "dimse/io_priv.h"
#include "retrieve/retrieve.h"

enum {
	FEED_CAP = 1024 * 1024 /* a CT slice is read ahead as a whole */
};

nx_rc nx_feed_init(struct nx_feed *feed, struct nx_instances *instances, struct nx_err *err)
{
	*feed = (struct nx_feed){.instances = instances, .buf = malloc(FEED_CAP), .cap = FEED_CAP};
	return feed->buf ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for an instance");
}

void nx_feed_done(struct nx_feed *feed)
{
	if (feed->buf)
		explicit_bzero(feed->buf, feed->cap);
	free(feed->buf);
	*feed = (struct nx_feed){0};
}

static nx_rc fill(struct nx_feed *feed, struct nx_err *err)
{
	size_t got = 1;
	nx_rc rc = NX_OK;

	feed->n = 0;
	while (!rc && got && feed->n + sizeof(uint64_t) <= feed->cap && feed->left) {
		rc = nx_instances_dataset_read(
			feed->instances, feed->buf + feed->n, feed->cap - feed->n, &got, err);
		if (rc)
			return rc;
		feed->n += got;
		feed->left -= got;
	}
	return got ? NX_OK : nx_err_set(err, NX_E_CORRUPT, "an instance ends early");
}

nx_rc nx_feed_load(struct nx_feed *feed, size_t i, const char *ts_uid, struct nx_err *err)
{
	const struct nx_item *item;
	nx_rc rc = nx_instances_at(feed->instances, i, &item, err);

	if (!rc)
		rc = nx_instances_dataset(feed->instances, ts_uid, &feed->left, err);
	if (!rc && !feed->left)
		rc = nx_err_set(err, NX_E_CORRUPT, "a data set without a byte");
	return rc ? rc : fill(feed, err);
}

nx_rc nx_feed_write(struct nx_feed *feed, const struct nx_dimse_io *io, struct nx_buf *tx,
	uint8_t context, uint32_t max_pdu, int64_t write_us, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	while (!rc && feed->n) {
		io->ops->deadline(io->transport, nx_mono_us() + write_us);
		rc = nx_pdata_write(io, tx, context, max_pdu, nx_slice(feed->buf, feed->n),
			feed->left == 0, err);
		feed->broken = rc != NX_OK;
		feed->n = 0;
		if (!rc && feed->left)
			rc = fill(feed, err);
	}
	return rc;
}
