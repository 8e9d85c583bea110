/*
 * synthetic.h - made-up instances without end, the same for the same seed: patients of several
 * studies, of several series, of some dozens of instances, as hospitals have them.
 *
 * Layer:   tests.
 * Threads: a struct synthetic belongs to one thread at a time.
 * PHI:     none; names are syllables, UIDs are random.
 */
#ifndef NX_TEST_SYNTHETIC_H
#define NX_TEST_SYNTHETIC_H

#include "base/buf.h"

enum {
	SYNTHETIC_UID = 44, /* "2.25." and 39 digits (PS3.5 B.2) */
	SYNTHETIC_MODALITIES = 4
};

extern const char *const synthetic_sop_classes[SYNTHETIC_MODALITIES];

struct synthetic {
	uint64_t seed;
	size_t pixel_len; /* bytes of pixel data of an instance; even, at least 8 */
	uint64_t patient;
	uint64_t step; /* to the next patient: senders deal them out */
	unsigned study, series, instance;
	struct nx_buf dataset; /* of the instance, explicit little endian */
	size_t uid_at, number_at, pixels_at;
	const char *sop_class;
	char sop_instance[SYNTHETIC_UID + 1];
};

/* Patients `first`, first + step, ... */
NX_NODISCARD nx_rc synthetic_init(struct synthetic *s, uint64_t seed, size_t pixel_len,
	uint64_t first, uint64_t step, struct nx_err *err);
void synthetic_done(struct synthetic *s);
NX_DEFINE_AUTO_DONE(synthetic);
/* The next instance is in dataset, sop_class and sop_instance, until the next call. */
NX_NODISCARD nx_rc synthetic_next(struct synthetic *s, struct nx_err *err);

#endif
