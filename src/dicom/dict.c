#include "dicom/dicom_priv.h"

#include <string.h>

#include "base/enc.h"

static const struct nx_vr_info vr_table[] = {
	{NX_VR('A', 'E'), 1, NX_VR_TEXT | NX_VR_LEADING},
	{NX_VR('A', 'S'), 1, NX_VR_TEXT},
	{NX_VR('A', 'T'), 2, 0},
	{NX_VR('C', 'S'), 1, NX_VR_TEXT | NX_VR_LEADING},
	{NX_VR('D', 'A'), 1, NX_VR_TEXT},
	{NX_VR('D', 'S'), 1, NX_VR_TEXT | NX_VR_LEADING},
	{NX_VR('D', 'T'), 1, NX_VR_TEXT},
	{NX_VR('F', 'D'), 8, 0},
	{NX_VR('F', 'L'), 4, 0},
	{NX_VR('I', 'S'), 1, NX_VR_TEXT | NX_VR_LEADING},
	{NX_VR('L', 'O'), 1, NX_VR_TEXT | NX_VR_CHARSET | NX_VR_LEADING},
	{NX_VR('L', 'T'), 1, NX_VR_TEXT | NX_VR_CHARSET | NX_VR_SINGLE},
	{NX_VR('O', 'B'), 1, NX_VR_LONG | NX_VR_BINARY},
	{NX_VR('O', 'D'), 8, NX_VR_LONG | NX_VR_BINARY},
	{NX_VR('O', 'F'), 4, NX_VR_LONG | NX_VR_BINARY},
	{NX_VR('O', 'L'), 4, NX_VR_LONG | NX_VR_BINARY},
	{NX_VR('O', 'V'), 8, NX_VR_LONG | NX_VR_BINARY},
	{NX_VR('O', 'W'), 2, NX_VR_LONG | NX_VR_BINARY},
	{NX_VR('P', 'N'), 1, NX_VR_TEXT | NX_VR_CHARSET},
	{NX_VR('S', 'H'), 1, NX_VR_TEXT | NX_VR_CHARSET | NX_VR_LEADING},
	{NX_VR('S', 'L'), 4, 0},
	{NX_VR('S', 'Q'), 1, NX_VR_LONG},
	{NX_VR('S', 'S'), 2, 0},
	{NX_VR('S', 'T'), 1, NX_VR_TEXT | NX_VR_CHARSET | NX_VR_SINGLE},
	{NX_VR('S', 'V'), 8, NX_VR_LONG},
	{NX_VR('T', 'M'), 1, NX_VR_TEXT},
	{NX_VR('U', 'C'), 1, NX_VR_TEXT | NX_VR_CHARSET | NX_VR_LONG},
	{NX_VR('U', 'I'), 1, NX_VR_TEXT},
	{NX_VR('U', 'L'), 4, 0},
	{NX_VR('U', 'N'), 1, NX_VR_LONG | NX_VR_BINARY},
	{NX_VR('U', 'R'), 1, NX_VR_TEXT | NX_VR_LONG | NX_VR_SINGLE},
	{NX_VR('U', 'S'), 2, 0},
	{NX_VR('U', 'T'), 1, NX_VR_TEXT | NX_VR_CHARSET | NX_VR_LONG | NX_VR_SINGLE},
	{NX_VR('U', 'V'), 8, NX_VR_LONG},
};

const struct nx_vr_info *nx_vr_info(uint16_t vr)
{
	size_t lo = 0, hi = NX_ARRAY_LEN(vr_table);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (vr_table[mid].vr == vr)
			return &vr_table[mid];
		if (vr_table[mid].vr < vr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static const struct nx_dict_entry *find_exact(nx_tag tag)
{
	size_t lo = 0, hi = nx_dict_table_n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (nx_dict_table[mid].tag == tag)
			return &nx_dict_table[mid];
		if (nx_dict_table[mid].tag < tag)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct nx_dict_entry *nx_dict_find(nx_tag tag)
{
	const struct nx_dict_entry *entry = find_exact(tag);
	unsigned high = tag >> 24;

	if (entry || nx_tag_private(tag))
		return entry;
	/* PS3.5 7.6 (curves, overlays, variable pixel data) and (0020,31xx) */
	if (high == 0x50 || high == 0x60 || high == 0x7f)
		return find_exact(tag & 0xff00ffff);
	if ((tag & 0xffffff00) == 0x00203100)
		return find_exact(0x00203100);
	return NULL;
}

uint16_t nx_vr_implicit(nx_tag tag)
{
	const struct nx_dict_entry *entry;

	if ((tag & 0xffff) == 0)
		return NX_VR('U', 'L');
	if (nx_tag_private(tag))
		return nx_tag_private_creator(tag) ? NX_VR('L', 'O') : NX_VR('U', 'N');
	entry = nx_dict_find(tag);
	if (!entry || !entry->vr)
		return NX_VR('U', 'N');
	/* PS3.5 A.1: what is OB or OW is OW in implicit VR. */
	return entry->vr2 == NX_VR('O', 'W') ? entry->vr2 : entry->vr;
}

static bool find_keyword(const char *text, size_t n, nx_tag *ret_tag)
{
	size_t lo = 0, hi = nx_dict_table_n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct nx_dict_entry *entry = &nx_dict_table[nx_dict_by_keyword[mid]];
		int order = strncmp(entry->keyword, text, n);

		if (order == 0 && entry->keyword[n] == '\0') {
			*ret_tag = entry->tag;
			return true;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

const struct nx_dict_entry *nx_dict_at(size_t i)
{
	return i < nx_dict_table_n ? &nx_dict_table[i] : NULL;
}

bool nx_dict_parse_tag(const char *text, size_t n, nx_tag *ret_tag)
{
	char digits[9] = "";
	uint8_t b[4];

	if (n == 8)
		memcpy(digits, text, 8); /* the text may go on, the digits must not */
	if (nx_hex_parse(digits, b, 4)) {
		*ret_tag = nx_get_u32(b, true);
		return true;
	}
	return n > 0 && !memchr(text, '\0', n) && find_keyword(text, n, ret_tag);
}
