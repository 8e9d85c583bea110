#include <stdio.h>
#include <string.h>

#include "dicomweb/dicomweb_priv.h"

enum {
	REPORT_MAX = 256 * 1024 * 1024,
	URL_MAX = 1024,
	REASON_OTHER_STUDY = 0xA900, /* PS3.4 B.2.3: the data set is not what was announced */
	/* A private block of ours (PS3.5 7.8.1) in what was not stored as an instance. */
	TAG_CREATOR = 0x00090010,
	TAG_QUARANTINE = 0x00091001,
	TAG_NOTE = 0x00091002
};

static const char creator[] = "NARTHEX";

static void items_init(struct nx_buf *buf, struct nx_json *json)
{
	nx_buf_init(buf, REPORT_MAX, NX_BUF_WIPE);
	nx_json_init(json, buf);
	nx_json_array_begin(json);
}

void dw_report_init(struct dw_report *report)
{
	*report = (struct dw_report){.all_retryable = true};
	items_init(&report->stored, &report->stored_json);
	items_init(&report->failed, &report->failed_json);
	items_init(&report->others, &report->others_json);
}

void dw_report_done(struct dw_report *report)
{
	nx_buf_done(&report->stored);
	nx_buf_done(&report->failed);
	nx_buf_done(&report->others);
}

static void put_uids(struct nx_json *json, const struct nx_ingest_result *result)
{
	nx_json_dicom_text(json, NX_TAG_REFERENCED_SOP_CLASS_UID, result->sop_class);
	nx_json_dicom_text(json, NX_TAG_REFERENCED_SOP_INSTANCE_UID, result->sop_instance);
}

void dw_report_stored(
	struct dw_report *report, const char *base_url, const struct nx_ingest_result *result)
{
	struct nx_json *json = &report->stored_json;
	char url[URL_MAX];

	nx_json_object_begin(json);
	put_uids(json, result);
	if (snprintf(url, sizeof(url), "%s/studies/%s/series/%s/instances/%s", base_url,
		    result->study, result->series, result->sop_instance) < URL_MAX)
		nx_json_dicom_text(json, NX_TAG_RETRIEVE_URL, url);
	nx_json_object_end(json);
	if (!report->n_stored++)
		(void)snprintf(report->study, sizeof(report->study), "%s", result->study);
	else if (strcmp(report->study, result->study) != 0)
		report->study[0] = '\0'; /* of several studies: no URL for all */
}

/* By its UIDs where they are known, else among the others. */
static struct nx_json *failed_begin(struct dw_report *report, const struct nx_ingest_result *known)
{
	bool named = known && known->sop_class[0] && known->sop_instance[0];
	struct nx_json *json = named ? &report->failed_json : &report->others_json;

	nx_json_object_begin(json);
	if (named)
		put_uids(json, known);
	report->n_failed++;
	return json;
}

static void put_private_text(struct nx_json *json, nx_tag tag, const char *text)
{
	char key[16];

	(void)snprintf(key, sizeof(key), "%08X", (unsigned)tag);
	nx_json_key(json, key);
	nx_json_object_begin(json);
	nx_json_kv_str(json, "vr", "LO");
	nx_json_key(json, "Value");
	nx_json_array_begin(json);
	nx_json_str(json, text);
	nx_json_array_end(json);
	nx_json_object_end(json);
}

void dw_report_quarantined(struct dw_report *report, const struct nx_ingest_result *result)
{
	struct nx_json *json = failed_begin(report, result);
	char number[24];

	(void)snprintf(number, sizeof(number), "%lld", (long long)result->quarantine);
	dw_json_uint(json, NX_TAG_FAILURE_REASON, "US", nx_reason_dimse(result->reason));
	put_private_text(json, TAG_CREATOR, creator);
	put_private_text(json, TAG_QUARANTINE, number);
	put_private_text(json, TAG_NOTE, result->note);
	nx_json_object_end(json);
	report->failure = NX_E_QUARANTINED;
	report->all_retryable = false;
}

void dw_report_failed(struct dw_report *report, const struct nx_ingest_result *known, nx_rc why,
	const char *expect)
{
	unsigned reason = nx_rc_dimse(why);
	struct nx_json *json;

	if (known && known->sop_instance[0] && expect && why == NX_E_CONFLICT &&
		strcmp(known->study, expect) != 0)
		reason = REASON_OTHER_STUDY;
	json = failed_begin(report, known);
	dw_json_uint(json, NX_TAG_FAILURE_REASON, "US", reason);
	nx_json_object_end(json);
	report->failure = why;
	report->all_retryable = report->all_retryable && nx_rc_retryable(why);
}

/* PS3.18 Table 10.5.3-1.  A sender is to come again when nothing was wrong but our state. */
int dw_report_status(const struct dw_report *report)
{
	if (!report->n_failed)
		return 200;
	if (report->n_stored)
		return 202;
	return report->all_retryable ? nx_rc_http(report->failure) : 409;
}

/* A sequence is there only with items. */
void dw_report_format(const struct dw_report *report, const char *base_url, struct nx_json *json)
{
	NX_AUTO_DONE(nx_buf) items;
	struct {
		nx_tag tag;
		const struct nx_buf *buf;
	} sequences[] = {{NX_TAG_FAILED_SOP_SEQUENCE, &report->failed},
		{NX_TAG_REFERENCED_SOP_SEQUENCE, &report->stored},
		{NX_TAG_OTHER_FAILURES_SEQUENCE, &report->others}};
	char url[URL_MAX];

	nx_buf_init(&items, REPORT_MAX, NX_BUF_WIPE);
	nx_json_object_begin(json);
	if (report->study[0] &&
		snprintf(url, sizeof(url), "%s/studies/%s", base_url, report->study) < URL_MAX)
		nx_json_dicom_text(json, NX_TAG_RETRIEVE_URL, url);
	for (size_t i = 0; i < NX_ARRAY_LEN(sequences); i++) {
		if (sequences[i].buf->len <= 1)
			continue;
		nx_buf_clear(&items);
		nx_buf_put_slice(&items, nx_buf_slice(sequences[i].buf));
		nx_buf_put_u8(&items, ']');
		dw_json_seq(json, sequences[i].tag, nx_buf_slice(&items));
	}
	nx_json_object_end(json);
}
