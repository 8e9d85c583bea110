/*
 * deid_fixture.h - instances with planted identifiers, taken in through ingest.
 *
 * Layer:   tests.
 */
#ifndef NX_DEID_FIXTURE_H
#define NX_DEID_FIXTURE_H

#include "unit/archive/archive_fixture.h"

#include "access/access.h"
#include "base/enc.h"
#include "deid/deid.h"
#include "dicom/dicom.h"
#include "ingest/ingest.h"

static const struct nx_principal fx_admin = {
	.kind = NX_PRINCIPAL_TOKEN, .name = "admin", .role = "admin", .session = "s"};

struct synth {
	const char *patient; /* part of every identifying string */
	const char *study;
	const char *series;
	const char *sop;
	const char *modality;
	const char *sop_class;
	const char *ts_uid;
	const char *burned_in;
	const char *date;
	size_t pixels; /* bytes; rows * 2 * columns need not fit */
	uint32_t seed;
};

static inline struct synth synth_ct(
	const char *patient, const char *study, const char *series, const char *sop)
{
	return (struct synth){.patient = patient,
		.study = study,
		.series = series,
		.sop = sop,
		.modality = "CT",
		.sop_class = "1.2.840.10008.5.1.4.1.1.2",
		.ts_uid = "1.2.840.10008.1.2.1",
		.burned_in = "NO",
		.date = "20240229",
		.pixels = 131072,
		.seed = (uint32_t)(strlen(sop) * 131 + (unsigned char)sop[strlen(sop) - 1])};
}

static inline void put_elem(
	struct nx_buf *out, nx_tag tag, const char vr[2], const void *p, size_t n)
{
	bool is_long = strchr("OS", vr[0]) && strchr("BWQV", vr[1]);

	is_long |= memcmp(vr, "UN", 2) == 0 || memcmp(vr, "UT", 2) == 0;
	nx_buf_put_u16le(out, (uint16_t)(tag >> 16));
	nx_buf_put_u16le(out, (uint16_t)tag);
	nx_buf_put(out, vr, 2);
	nx_buf_put_u16le(out, is_long ? 0 : (uint16_t)(n + (n & 1)));
	if (is_long)
		nx_buf_put_u32le(out, (uint32_t)(n + (n & 1)));
	nx_buf_put(out, p, n);
	if (n & 1)
		nx_buf_put_u8(out, memcmp(vr, "UI", 2) == 0 ? 0 : ' ');
}

static inline void put_text(struct nx_buf *out, nx_tag tag, const char vr[2], const char *text)
{
	put_elem(out, tag, vr, text, strlen(text));
}

/* "<patient>-<what>": what must not be found again. */
static inline void put_phi(
	struct nx_buf *out, nx_tag tag, const char vr[2], const struct synth *s, const char *what)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "%s%s", s->patient, what);
	put_text(out, tag, vr, text);
}

static inline void put_u16(struct nx_buf *out, nx_tag tag, uint16_t v)
{
	uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};

	put_elem(out, tag, "US", b, 2);
}

static inline void synth_nested(struct nx_buf *out, const struct synth *s)
{
	NX_AUTO_DONE(nx_buf) item;
	NX_AUTO_DONE(nx_buf) seq;

	nx_buf_init(&item, 65536, 0);
	nx_buf_init(&seq, 65536, 0);
	put_text(&item, NX_TAG(0x0008, 0x1150), "UI", s->sop_class);
	put_phi(&item, NX_TAG(0x0008, 0x1155), "UI", s, ".77"); /* not even a UID */
	put_phi(&item, NX_TAG(0x0010, 0x0010), "PN", s, "^NESTED");
	put_phi(&item, NX_TAG(0x0040, 0xa075), "PN", s, "^VERIFIER");
	nx_buf_put_u16le(&seq, 0xfffe);
	nx_buf_put_u16le(&seq, 0xe000);
	nx_buf_put_u32le(&seq, (uint32_t)item.len);
	nx_buf_put_slice(&seq, nx_buf_slice(&item));
	put_elem(out, NX_TAG(0x0008, 0x1140), "SQ", seq.data, seq.len);
}

/* A Part 10 file in explicit little endian. */
static inline void synth_write(const struct synth *s, struct nx_buf *out, uint8_t *pixels)
{
	struct nx_err err;
	uint8_t *native = pixels;

	assert_ok(nx_dicom_meta_write(s->sop_class, s->sop, s->ts_uid, "SENDER", out, &err), &err);
	put_text(out, NX_TAG(0x0008, 0x0005), "CS", "ISO_IR 100");
	put_text(out, NX_TAG(0x0008, 0x0008), "CS", "ORIGINAL\\PRIMARY\\AXIAL");
	put_text(out, NX_TAG(0x0008, 0x0016), "UI", s->sop_class);
	put_text(out, NX_TAG(0x0008, 0x0018), "UI", s->sop);
	put_text(out, NX_TAG(0x0008, 0x0020), "DA", s->date);
	put_text(out, NX_TAG(0x0008, 0x0021), "DA", s->date);
	put_text(out, NX_TAG(0x0008, 0x002a), "DT", "20240301081530.25");
	put_text(out, NX_TAG(0x0008, 0x0030), "TM", "081500");
	put_phi(out, NX_TAG(0x0008, 0x0050), "SH", s, "-ACC");
	put_text(out, NX_TAG(0x0008, 0x0060), "CS", s->modality);
	put_text(out, NX_TAG(0x0008, 0x0070), "LO", "Phantom Works");
	put_phi(out, NX_TAG(0x0008, 0x0080), "LO", s, " Hospital");
	put_phi(out, NX_TAG(0x0008, 0x0081), "ST", s, " Street 1");
	put_phi(out, NX_TAG(0x0008, 0x0090), "PN", s, "^REFERRER");
	put_phi(out, NX_TAG(0x0008, 0x1010), "SH", s, "-STATION");
	put_phi(out, NX_TAG(0x0008, 0x1030), "LO", s, " head");
	put_phi(out, NX_TAG(0x0008, 0x1070), "PN", s, "^OPERATOR");
	synth_nested(out, s);
	put_text(out, NX_TAG(0x0009, 0x0010), "LO", "ACME");
	put_phi(out, NX_TAG(0x0009, 0x1001), "LO", s, "-PRIVATE");
	put_phi(out, NX_TAG(0x0010, 0x0010), "PN", s, "^NAME");
	put_phi(out, NX_TAG(0x0010, 0x0020), "LO", s, "-ID");
	put_text(out, NX_TAG(0x0010, 0x0030), "DA", "19601231");
	put_text(out, NX_TAG(0x0010, 0x0040), "CS", "F");
	put_phi(out, NX_TAG(0x0010, 0x1000), "LO", s, "-OTHER");
	put_phi(out, NX_TAG(0x0010, 0x1040), "LO", s, " Avenue");
	put_phi(out, NX_TAG(0x0010, 0x4000), "LT", s, " comments");
	put_phi(out, NX_TAG(0x0018, 0x0015), "CS", s, "-odd"); /* no code: emptied */
	put_phi(out, NX_TAG(0x0018, 0x1000), "LO", s, "-SERIAL");
	put_text(out, NX_TAG(0x0018, 0x1210), "SH", "B30f");
	put_text(out, NX_TAG(0x0020, 0x000d), "UI", s->study);
	put_text(out, NX_TAG(0x0020, 0x000e), "UI", s->series);
	put_phi(out, NX_TAG(0x0020, 0x0010), "SH", s, "-STUDYID");
	put_text(out, NX_TAG(0x0020, 0x0013), "IS", "1");
	put_text(out, NX_TAG(0x0020, 0x0052), "UI", "1.2.3.4.5.6");
	put_u16(out, NX_TAG(0x0028, 0x0002), 1);
	put_text(out, NX_TAG(0x0028, 0x0004), "CS", "MONOCHROME2");
	put_u16(out, NX_TAG(0x0028, 0x0010), (uint16_t)(s->pixels / 512));
	put_u16(out, NX_TAG(0x0028, 0x0011), 256);
	put_u16(out, NX_TAG(0x0028, 0x0100), 16);
	put_u16(out, NX_TAG(0x0028, 0x0101), 16);
	put_u16(out, NX_TAG(0x0028, 0x0102), 15);
	put_u16(out, NX_TAG(0x0028, 0x0103), 0);
	put_text(out, NX_TAG(0x0028, 0x0301), "CS", s->burned_in);
	put_phi(out, NX_TAG(0x0032, 0x1032), "PN", s, "^REQUESTER");
	put_phi(out, NX_TAG(0x0040, 0x0244), "LO", s, "-WRONGVR");
	put_elem(out, NX_TAG(0x7fe0, 0x0010), "OW", native, s->pixels);
	put_phi(out, NX_TAG(0xfffc, 0xfffc), "OB", s, "-TRAILER");
	assert_ok(nx_buf_check(out, &err), &err);
}

static inline void synth_store(struct fixture *fx, struct nx_ingest *ingest, const struct synth *s)
{
	const struct nx_ingest_opts opts = {
		.who = &fx_admin, .collection = "clinical", .door = "import"};
	NX_AUTO(nx_ingest_job) *job = NULL;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result result;

	nx_buf_init(&file, 64u << 20, 0);
	synth_write(s, &file, fx_bytes(fx, s->pixels, s->seed));
	assert_ok(nx_ingest_begin(ingest, &opts, &job, &fx->err), &fx->err);
	assert_ok(nx_ingest_feed(job, file.data, file.len, &fx->err), &fx->err);
	assert_ok(nx_ingest_submit(job, &fx->err), &fx->err);
	assert_ok(nx_ingest_wait(job, &result, &fx->err), &fx->err);
	assert_int_equal(result.outcome, NX_INGEST_STORED);
}

static inline struct nx_deid_result synth_deid(struct fixture *fx, const char *study)
{
	NX_AUTO(nx_deid) *deid = nx_deid_new(fx->archive);
	const struct nx_deid_opts opts = {.who = &fx_admin,
		.from = "clinical",
		.study = study,
		.to = "curated",
		.profile = NX_DEID_PROFILE};
	struct nx_deid_result r;

	assert_ok(nx_deid_study(deid, &opts, &r, &fx->err), &fx->err);
	nx_archive_barrier(fx->archive);
	return r;
}

/* The bytes of an item, from the fixture's arena. */
static inline struct nx_slice fx_read(struct fixture *fx, const struct nx_item *item)
{
	NX_AUTO(nx_reader) *reader = NULL;
	uint8_t *p = nx_arena_alloc(fx->arena, (size_t)item->size + 1);
	size_t at = 0, n = 1;

	assert_ok(nx_archive_open_item(fx->archive, item, &reader, &fx->err), &fx->err);
	while (n) {
		assert_ok(nx_reader_read(
				  reader, at, p + at, (size_t)item->size + 1 - at, &n, &fx->err),
			&fx->err);
		at += n;
	}
	assert_u64(at, (uint64_t)item->size);
	return nx_slice(p, at);
}

#endif
