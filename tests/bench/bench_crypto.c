#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "crypto/crypto_priv.h"

/* MB/s of one core, each figure over about a quarter of a second. */

enum {
	RUN_US = 250000
};

static uint8_t *bytes, *out;

static void bench_tree(size_t n)
{
	uint8_t root[NX_SHA256_LEN];
	int64_t start = nx_mono_us(), us;
	uint64_t done = 0;

	do {
		nx_tree_root(bytes, n, root);
		done += n;
		us = nx_mono_us() - start;
	} while (us < RUN_US);
	printf("tree %zu: %.0f MB/s\n", n, (double)done / (double)us);
}

static void bench_gcm(const struct nx_gcm_ops *ops, size_t n)
{
	struct nx_slice aad = nx_slice(bytes, 40);
	uint8_t nonce[NX_GCM_NONCE_LEN] = {0}, tag[NX_GCM_TAG_LEN];
	struct nx_key key = {"bench"};
	NX_AUTO(nx_gcm) *gcm = nx_gcm_new_with(ops, &key);
	int64_t us[2] = {0, 0};
	uint64_t done[2] = {0, 0};
	bool good = true;

	if (!gcm)
		return;
	for (int open = 0; open < 2; open++) {
		int64_t start = nx_mono_us();

		nx_gcm_seal(gcm, nonce, aad, bytes, n, out, tag);
		do {
			if (open)
				good = nx_gcm_open(gcm, nonce, aad, out, n, tag, bytes) && good;
			else
				nx_gcm_seal(gcm, nonce, aad, bytes, n, out, tag);
			done[open] += n;
			us[open] = nx_mono_us() - start;
		} while (us[open] < RUN_US);
	}
	printf("gcm %s %zu: seal %.0f MB/s, open %.0f MB/s%s\n", ops->name, n,
		(double)done[0] / (double)us[0], (double)done[1] / (double)us[1],
		good ? "" : " WRONG");
}

int main(void)
{
	static const size_t tree_sizes[] = {5000, 65536, 262144, 524288, 8388608};
	static const size_t gcm_sizes[] = {5000, 262144};
	size_t n = 8388608;

	bytes = calloc(1, n);
	out = malloc(n);
	if (!bytes || !out || nx_crypto_init(NULL))
		return 1;
	printf("%s\n", nx_crypto_describe());
	for (size_t i = 0; i < NX_ARRAY_LEN(tree_sizes); i++)
		bench_tree(tree_sizes[i]);
	for (size_t i = 0; i < NX_ARRAY_LEN(gcm_sizes); i++) {
		bench_gcm(&nx_gcm_gnutls, gcm_sizes[i]);
		if (nx_gcm_ipsecmb())
			bench_gcm(nx_gcm_ipsecmb(), gcm_sizes[i]);
	}
	free(bytes);
	free(out);
	return 0;
}
