// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/record.h"

#include <endian.h>
#include <string.h>

void record_bytes(struct record *record, const void *data, size_t len)
{
	if (record->full || len > record->size - record->len) {
		record->full = true;
		return;
	}
	if (len)
		memcpy(record->data + record->len, data, len);
	record->len += len;
}

void record_u8(struct record *record, uint8_t value)
{
	record_bytes(record, &value, sizeof(value));
}

void record_u16(struct record *record, uint16_t value)
{
	value = htole16(value);
	record_bytes(record, &value, sizeof(value));
}

void record_u32(struct record *record, uint32_t value)
{
	value = htole32(value);
	record_bytes(record, &value, sizeof(value));
}

void record_u64(struct record *record, uint64_t value)
{
	value = htole64(value);
	record_bytes(record, &value, sizeof(value));
}

void record_struct(struct record *record, const void *data, size_t len)
{
	record_u32(record, (uint32_t)len);
	record_bytes(record, data, len);
}

void record_take_bytes(struct record_in *in, void *data, size_t len)
{
	if (in->bad || len > in->left) {
		in->bad = true;
		memset(data, 0, len);
		return;
	}
	if (len)
		memcpy(data, in->at, len);
	in->at += len;
	in->left -= len;
}

uint8_t record_take_u8(struct record_in *in)
{
	uint8_t value;
	record_take_bytes(in, &value, sizeof(value));
	return value;
}

uint16_t record_take_u16(struct record_in *in)
{
	uint16_t value;
	record_take_bytes(in, &value, sizeof(value));
	return le16toh(value);
}

uint32_t record_take_u32(struct record_in *in)
{
	uint32_t value;
	record_take_bytes(in, &value, sizeof(value));
	return le32toh(value);
}

uint64_t record_take_u64(struct record_in *in)
{
	uint64_t value;
	record_take_bytes(in, &value, sizeof(value));
	return le64toh(value);
}

void record_take_struct(struct record_in *in, void *data, size_t len)
{
	in->bad = record_take_u32(in) != len || in->bad;
	record_take_bytes(in, data, len);
}

bool record_complete(const struct record_in *in)
{
	return !in->bad && in->left == 0;
}
