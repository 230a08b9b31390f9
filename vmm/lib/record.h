/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record: fields one after the other, little-endian, without gaps. What writes one and what reads it name the
 * same fields in the same order. Errors are kept, so that a caller checks once, at the end.
 *
 * Pure. Thread: its owner's. docs/snapshot-format.md tells what records hold.
 */
#ifndef EBB_LIB_RECORD_H
#define EBB_LIB_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A record that is written to @data, which the owner gave @size bytes. */
struct record {
	uint8_t *data;
	size_t size, len;
	bool full; /* something did not fit: the record is of no use */
};

void record_u8(struct record *record, uint8_t value);
void record_u16(struct record *record, uint16_t value);
void record_u32(struct record *record, uint32_t value);
void record_u64(struct record *record, uint64_t value);
void record_bytes(struct record *record, const void *data, size_t len);
/* A struct of another ABI, such as KVM's: its size, 4 bytes, and its bytes. */
void record_struct(struct record *record, const void *data, size_t len);

/* A record that is read. Nothing in it is trusted: what is not there reads as zeros, and sets @bad. */
struct record_in {
	const uint8_t *at;
	size_t left;
	bool bad;
};

uint8_t record_take_u8(struct record_in *in);
uint16_t record_take_u16(struct record_in *in);
uint32_t record_take_u32(struct record_in *in);
uint64_t record_take_u64(struct record_in *in);
void record_take_bytes(struct record_in *in, void *data, size_t len);
/* A struct of another size than @len is bad: it is of another ABI. */
void record_take_struct(struct record_in *in, void *data, size_t len);

/* Returns whether all that was read was there, and nothing is left. */
bool record_complete(const struct record_in *in);

#endif
