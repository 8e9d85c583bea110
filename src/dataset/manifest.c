/* Writing a manifest; the format is in docs/formats/MANIFEST.md. */
#include "dataset/manifest.h"

#include <string.h>

#include "base/enc.h"
#include "base/json.h"
#include "crypto/crypto.h"
#include "dataset/manifest_priv.h"

enum {
	PAGE_MAX = 256 * 1024 * 1024,
	KEY_MAX = 1024
};

int nx_manifest_compare(const struct nx_manifest_entry *a, const struct nx_manifest_entry *b)
{
	int order = strcmp(a->pseudonym, b->pseudonym);

	if (!order)
		order = strcmp(a->series, b->series);
	return order ? order : strcmp(a->instance, b->instance);
}

void nx_manifest_writer_init(struct nx_manifest_writer *w, size_t max)
{
	memset(w, 0, sizeof(*w));
	nx_buf_init(&w->pages, max, 0);
	nx_buf_init(&w->page, max < PAGE_MAX ? max : PAGE_MAX, 0);
}

void nx_manifest_writer_done(struct nx_manifest_writer *w)
{
	nx_buf_done(&w->pages);
	nx_buf_done(&w->page);
}

/* A page begins at this entry: a change of the selection touches its pages only. */
static bool cuts_before(const struct nx_manifest_entry *e)
{
	NX_AUTO_DONE(nx_buf) key;
	uint8_t digest[NX_SHA256_LEN];

	nx_buf_init(&key, KEY_MAX, 0);
	nx_buf_printf(&key, "%s\n%s\n%s", e->pseudonym, e->series, e->instance);
	nx_sha256(key.data, key.len, digest);
	return digest[NX_SHA256_LEN - 1] % MANIFEST_PAGE_MOD == 0;
}

/* RFC 6962 2.1: as in a binary counter, two complete subtrees of one size become one. */
void manifest_tree_add(uint8_t tree[NX_MANIFEST_DEPTH][NX_MANIFEST_HASH_LEN], uint64_t n,
	const uint8_t leaf[NX_MANIFEST_HASH_LEN])
{
	uint8_t node[NX_MANIFEST_HASH_LEN];
	unsigned level = 0;

	memcpy(node, leaf, sizeof(node));
	for (; n >> level & 1; level++)
		nx_merkle_node(tree[level], node, node);
	memcpy(tree[level], node, sizeof(node));
}

void manifest_tree_root(uint8_t tree[NX_MANIFEST_DEPTH][NX_MANIFEST_HASH_LEN], uint64_t n,
	uint8_t ret[NX_MANIFEST_HASH_LEN])
{
	bool have = false;

	if (!n)
		nx_sha256(NULL, 0, ret);
	for (unsigned level = 0; level < NX_MANIFEST_DEPTH; level++) {
		if (!(n >> level & 1))
			continue;
		if (have)
			nx_merkle_node(tree[level], ret, ret);
		else
			memcpy(ret, tree[level], NX_MANIFEST_HASH_LEN);
		have = true;
	}
}

static void put_base64(struct nx_buf *out, const void *p, size_t n)
{
	uint8_t *to = nx_buf_reserve(out, NX_BASE64_LEN(n) + 1);

	if (!to)
		return;
	nx_base64_format(p, n, (char *)to);
	out->len += NX_BASE64_LEN(n);
}

static void page_end(struct nx_manifest_writer *w)
{
	uint8_t leaf[NX_MANIFEST_HASH_LEN];

	if (!w->page_items)
		return;
	nx_merkle_leaf(w->page.data, w->page.len, leaf);
	nx_buf_printf(&w->pages, "page %llu %zu ", (unsigned long long)w->page_items, w->page.len);
	put_base64(&w->pages, leaf, sizeof(leaf));
	nx_buf_put_str(&w->pages, "\n");
	nx_buf_put_slice(&w->pages, nx_buf_slice(&w->page));
	manifest_tree_add(w->tree, w->n_pages++, leaf);
	nx_buf_clear(&w->page);
	w->page_items = 0;
}

static void entry_format(const struct nx_manifest_entry *e, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_key(&json, "key");
	nx_json_array_begin(&json);
	nx_json_str(&json, e->pseudonym);
	nx_json_str(&json, e->series);
	nx_json_str(&json, e->instance);
	nx_json_array_end(&json);
	nx_json_kv_uint(&json, "size", e->size);
	nx_json_kv_hex(&json, "digest", e->digest, sizeof(e->digest));
	nx_json_key(&json, "blobs");
	nx_json_array_begin(&json);
	for (size_t i = 0; i < e->n_blobs; i++) {
		nx_json_array_begin(&json);
		nx_json_uint(&json, e->blobs[i].len);
		nx_json_hex(&json, e->blobs[i].root, sizeof(e->blobs[i].root));
		nx_json_array_end(&json);
	}
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	nx_buf_put_str(out, "\n");
}

nx_rc nx_manifest_writer_put(
	struct nx_manifest_writer *w, const struct nx_manifest_entry *entry, struct nx_err *err)
{
	nx_rc rc;

	if (cuts_before(entry))
		page_end(w);
	entry_format(entry, &w->page);
	w->page_items++;
	w->n_items++;
	rc = nx_buf_check(&w->page, err);
	return rc ? rc : nx_buf_check(&w->pages, err);
}

nx_rc nx_manifest_writer_finish(
	struct nx_manifest_writer *w, uint8_t ret_root[NX_MANIFEST_HASH_LEN], struct nx_err *err)
{
	nx_rc rc;

	page_end(w);
	rc = nx_buf_check(&w->pages, err);
	if (!rc)
		manifest_tree_root(w->tree, w->n_pages, ret_root);
	return rc;
}

/* ---- signatures: C2SP signed-note, key type 1 (Ed25519) ---- */

void manifest_key_hash(const char *origin, const uint8_t pub[NX_ED25519_PUBLIC_LEN], uint8_t ret[4])
{
	uint8_t digest[NX_SHA256_LEN];
	NX_AUTO_DONE(nx_buf) msg;

	nx_buf_init(&msg, KEY_MAX, 0);
	nx_buf_put_str(&msg, origin);
	nx_buf_put_u8(&msg, '\n');
	nx_buf_put_u8(&msg, MANIFEST_KEY_ED25519);
	nx_buf_put(&msg, pub, NX_ED25519_PUBLIC_LEN);
	nx_sha256(msg.data, msg.len, digest);
	memcpy(ret, digest, 4);
}

void nx_manifest_verifier_key(const char *origin, const struct nx_key *seed, struct nx_buf *out)
{
	uint8_t key[1 + NX_ED25519_PUBLIC_LEN] = {MANIFEST_KEY_ED25519};
	uint8_t hash[4];
	char hex[9];

	nx_ed25519_public(seed, key + 1);
	manifest_key_hash(origin, key + 1, hash);
	nx_hex_format(hash, sizeof(hash), hex);
	nx_buf_printf(out, "%s+%s+", origin, hex);
	put_base64(out, key, sizeof(key));
}

nx_rc nx_manifest_head(const struct nx_manifest_writer *w, const struct nx_manifest_title *title,
	const struct nx_key *seed, struct nx_buf *out, struct nx_err *err)
{
	uint8_t sig[4 + NX_ED25519_SIG_LEN];
	uint8_t pub[NX_ED25519_PUBLIC_LEN];
	nx_rc rc;

	nx_buf_printf(out, MANIFEST_MAGIC "release %s@v%lld\nitems %llu\npages %llu\nroot ",
		title->name, (long long)title->version, (unsigned long long)w->n_items,
		(unsigned long long)w->n_pages);
	put_base64(out, title->root, NX_MANIFEST_HASH_LEN);
	nx_buf_put_str(out, "\n");
	rc = nx_buf_check(out, err);
	if (rc)
		return rc;
	nx_ed25519_public(seed, pub);
	manifest_key_hash(title->origin, pub, sig);
	rc = nx_ed25519_sign(seed, nx_buf_slice(out), sig + 4, err);
	if (rc)
		return nx_err_prefix(err, rc, "sign manifest");
	nx_buf_printf(out, "\n" MANIFEST_SIG "%s ", title->origin);
	put_base64(out, sig, sizeof(sig));
	nx_buf_put_str(out, "\n\n");
	return nx_buf_check(out, err);
}
