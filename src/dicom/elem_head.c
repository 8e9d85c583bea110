/* The header of an element: tag, VR, length (PS3.5 7.1), and what writers make of it. */
#include "dicom/parser_priv.h"

static void head_implicit(const uint8_t *p, bool be, struct parser_head *head)
{
	head->vr = nx_vr_implicit(head->tag);
	head->length = nx_get_u32(p + 4, be);
	head->size = ELEM_HEAD_MIN;
	head->implied = true;
}

/*
 * The two bytes are no VR of today's standard.  Capital letters: one of tomorrow's, which has a
 * 32-bit length (PS3.5 7.1.2).  Else the writer put an implicit element into an explicit data set,
 * if the high half of the length is as it must be then; or a VR field of junk with a 16-bit length.
 */
static void head_odd_vr(const uint8_t *p, bool be, struct parser_head *head)
{
	bool zero = be ? (p[4] | p[5]) == 0 : (p[6] | p[7]) == 0;

	head_implicit(p, be, head);
	if (zero || head->length == NX_DICOM_UNDEFINED)
		return;
	head->vr = NX_VR('U', 'N');
	head->implied = false;
	head->length = nx_get_u16(p + 6, be);
}

bool nx_parser_head(struct nx_dicom_parser *ps, struct parser_head *head)
{
	const uint8_t *p = nx_parser_peek(ps, ELEM_HEAD_MIN);
	bool be = ps->syn.big_endian;
	const struct nx_vr_info *info;

	if (!p)
		return false;
	head->tag = NX_TAG(nx_get_u16(p, be), nx_get_u16(p + 2, be));
	if (!ps->syn.explicit_vr || nx_tag_group(head->tag) == 0xfffe) {
		head_implicit(p, be, head);
		return true;
	}
	head->implied = false;
	head->vr = NX_VR(p[4], p[5]);
	info = nx_vr_info(head->vr);
	if (!info && !nx_vr_is_word(p + 4)) {
		head_odd_vr(p, be, head);
		return true;
	}
	if (info && !(info->flags & NX_VR_LONG)) {
		head->length = nx_get_u16(p + 6, be);
		head->size = ELEM_HEAD_MIN;
		return true;
	}
	p = nx_parser_peek(ps, ELEM_HEAD_MAX);
	if (!p)
		return false;
	head->length = nx_get_u32(p + 8, be);
	head->size = ELEM_HEAD_MAX;
	return true;
}
