/*
 * What a copy of the packs must hold to be whole up to one group.
 *
 * Packs are copied one after the other while groups are written to all of them, so the copies end
 * at different groups; replay takes a gap for damage.  A copy therefore fixes a group that is
 * durable before it begins, and cuts every small pack behind the last unit up to that group: what
 * is newer is not part of it, whole or torn.
 */
#include "archive/archive_priv.h"

uint64_t nx_archive_durable(struct nx_archive *archive)
{
	uint64_t seq;

	(void)pthread_mutex_lock(&archive->lock);
	seq = archive->durable_seq;
	(void)pthread_mutex_unlock(&archive->lock);
	return seq;
}

/* Units of a small pack are appended by the committer alone, in the order of their groups. */
static nx_rc units_end(
	struct nx_archive *a, uint64_t pack, uint64_t seq, uint64_t *ret_end, struct nx_err *err)
{
	uint64_t end = NX_PACK_ALIGN;
	uint64_t kept = 0;
	nx_rc rc = NX_OK;

	while (!rc) {
		uint8_t b[UNIT_HEADER_LEN];
		struct unit_header h;

		rc = nx_pool_read(a->pool, pack, end, b, sizeof(b), err);
		if (!rc)
			rc = unit_header_parse(b, &h, err);
		if (!rc && h.seq > seq)
			break;
		if (!rc) {
			end += h.total_len;
			kept = end;
		}
	}
	if (rc && rc != NX_E_SHORT && rc != NX_E_NOENT && rc != NX_E_CORRUPT)
		return rc;
	*ret_end = kept;
	return NX_OK;
}

/* Zeros that were laid ahead (space.c) and never written over are no part of a pack. */
static nx_rc zeros_cut(
	struct nx_archive *a, uint64_t pack, uint64_t end, uint64_t *size, struct nx_err *err)
{
	uint8_t *piece = nx_aligned_get(NX_MIB);
	nx_rc rc = NX_OK;
	bool zeros = true;

	if (!piece)
		return nx_err_set(err, NX_E_NOMEM, "no memory to read a pack");
	for (uint64_t at = end; at < *size && zeros && !rc; at += NX_MIB) {
		size_t n = *size - at < NX_MIB ? (size_t)(*size - at) : NX_MIB;

		rc = nx_pool_read(a->pool, pack, at, piece, n, err);
		zeros = !rc && piece[0] == 0 && memcmp(piece, piece + 1, n - 1) == 0;
	}
	nx_aligned_put(piece, NX_MIB);
	if (!rc && zeros)
		*size = end;
	return rc;
}

nx_rc nx_archive_pack_cut(struct nx_archive *archive, uint64_t pack, uint64_t seq,
	struct nx_pack_cut *ret, struct nx_err *err)
{
	struct nx_pack_cut cut = {.final = pack < archive->space.first_pack};
	uint8_t b[PACK_HEADER_LEN];
	struct pack_header h;
	uint64_t size, end = 0;
	nx_rc rc = nx_pool_size(archive->pool, pack, &size, err);

	if (rc)
		return rc;
	rc = nx_pool_read(archive->pool, pack, 0, b, sizeof(b), err);
	if (!rc)
		rc = pack_header_parse(b, &h, err);
	if (rc == NX_E_SHORT || rc == NX_E_CORRUPT) { /* just made: nothing in it is durable */
		*ret = cut;
		return NX_OK;
	}
	cut.small = !rc && h.cls == PACK_SMALL;
	cut.len = size;
	/* The numbers in packs of an earlier run are all behind us, or have been used again since.
	 */
	if (cut.small)
		rc = units_end(archive, pack, cut.final ? UINT64_MAX : seq, &end, err);
	if (cut.small && !rc && !cut.final)
		cut.len = end < size ? end : size;
	else if (cut.small && !rc)
		rc = zeros_cut(
			archive, pack, end > NX_PACK_ALIGN ? end : NX_PACK_ALIGN, &cut.len, err);
	if (!rc)
		*ret = cut;
	return rc;
}
