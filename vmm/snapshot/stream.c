// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/stream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/lib/record.h"

/* A text, a byte that is no text, and the line ends that a careless transfer changes. */
static const uint8_t magic[8] = {'e', 'b', 'b', 0x9a, '\r', '\n', 0x1a, '\n'};

/* --- writing --------------------------------------------------------------------------------- */

int snapshot_put(struct snapshot_writer *writer, const void *data, size_t len)
{
	if (!writer->error && len)
		writer->error = writer->write(writer->ctx, data, len);
	writer->offset += len;
	return writer->error;
}

static void seal(struct record *record)
{
	record_u32(record, snapshot_checksum(0, record->data, record->len));
}

int snapshot_begin(struct snapshot_writer *writer)
{
	uint8_t bytes[SNAPSHOT_HEAD];
	struct record head = {bytes, sizeof(bytes), 0, false};

	record_bytes(&head, magic, sizeof(magic));
	record_u32(&head, SNAPSHOT_VERSION);
	record_u64(&head, 0);
	record_u64(&head, 0);
	seal(&head);
	return snapshot_put(writer, bytes, sizeof(bytes));
}

int snapshot_write_head(struct snapshot_writer *writer, enum snapshot_type type, uint32_t number,
			uint64_t len, uint32_t checksum)
{
	uint8_t bytes[SNAPSHOT_SECTION];
	struct record head = {bytes, sizeof(bytes), 0, false};

	record_u32(&head, type);
	record_u32(&head, number);
	record_u64(&head, len);
	record_u32(&head, checksum);
	record_u32(&head, writer->sections++);
	record_u32(&head, 0);
	seal(&head);
	return snapshot_put(writer, bytes, sizeof(bytes));
}

int snapshot_write(struct snapshot_writer *writer, enum snapshot_type type, uint32_t number,
		   const void *payload, size_t len)
{
	snapshot_write_head(writer, type, number, len, snapshot_checksum(0, payload, len));
	return snapshot_put(writer, payload, len);
}

int snapshot_align(struct snapshot_writer *writer)
{
	static const uint8_t zeros[SNAPSHOT_ALIGNMENT];
	/* The filler's own head, and that of the section after it. */
	size_t over = (writer->offset + 2 * SNAPSHOT_SECTION) % sizeof(zeros);
	size_t len = (sizeof(zeros) - over) % sizeof(zeros);

	return snapshot_write(writer, SNAPSHOT_FILLER, 0, zeros, len);
}

int snapshot_end(struct snapshot_writer *writer)
{
	struct record end = {writer->end, sizeof(writer->end), 0, false};

	record_u32(&end, writer->sections);
	record_u64(&end, writer->pages);
	record_u32(&end, writer->checksum);
	return snapshot_write(writer, SNAPSHOT_END, 0, writer->end, sizeof(writer->end));
}

/* --- reading --------------------------------------------------------------------------------- */

int snapshot_bad(struct snapshot_reader *reader, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reader->why, sizeof(reader->why), format, args);
	va_end(args);
	return -EINVAL;
}

static int damaged(struct snapshot_reader *reader)
{
	return snapshot_bad(reader, "it is damaged before byte %llu",
			    (unsigned long long)reader->offset);
}

/* What a later version may use: this one would not know what it means. */
static int unknown(struct snapshot_reader *reader)
{
	return snapshot_bad(reader, "it has something before byte %llu that this ebb does not know",
			    (unsigned long long)reader->offset);
}

/* Returns how many bytes were read: fewer than @len at the end of the snapshot only; or -errno. */
static ssize_t take_some(struct snapshot_reader *reader, void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		int got = reader->read(reader->ctx, (uint8_t *)data + done, len - done);
		if (got < 0) {
			snprintf(reader->why, sizeof(reader->why), "it cannot be read: %s",
				 strerror(-got));
			return got;
		}
		if (got == 0)
			break;
		done += (size_t)got;
	}
	reader->offset += done;
	return (ssize_t)done;
}

int snapshot_take(struct snapshot_reader *reader, void *data, size_t len)
{
	ssize_t got = take_some(reader, data, len);

	if (got < 0)
		return (int)got;
	if ((size_t)got < len)
		return snapshot_bad(reader, "it is cut short: it ends after %llu bytes",
				    (unsigned long long)reader->offset);
	return 0;
}

static bool sealed(const uint8_t *bytes, size_t len)
{
	struct record_in in = {bytes + len - 4, 4, false};
	return record_take_u32(&in) == snapshot_checksum(0, bytes, len - 4);
}

int snapshot_open(struct snapshot_reader *reader)
{
	uint8_t bytes[SNAPSHOT_HEAD];
	struct record_in head = {bytes + sizeof(magic), sizeof(bytes) - sizeof(magic), false};

	int error = snapshot_take(reader, bytes, sizeof(bytes));
	if (error)
		return error;
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		return snapshot_bad(reader, "it is no snapshot of ebb");
	if (!sealed(bytes, sizeof(bytes)))
		return snapshot_bad(reader, "its first bytes are damaged");
	uint32_t version = record_take_u32(&head);
	if (version != SNAPSHOT_VERSION)
		return snapshot_bad(reader,
				    "its format has version %u, and this ebb reads version %u: "
				    "make the snapshot again with this ebb",
				    version, SNAPSHOT_VERSION);
	uint64_t reserved = record_take_u64(&head);
	return reserved | record_take_u64(&head) ? unknown(reader) : 0;
}

static int read_head(struct snapshot_reader *reader, struct snapshot_section *section)
{
	uint8_t bytes[SNAPSHOT_SECTION];
	struct record_in head = {bytes, sizeof(bytes), false};
	uint64_t offset = reader->offset;

	int error = snapshot_take(reader, bytes, sizeof(bytes));
	if (error)
		return error;
	section->type = record_take_u32(&head);
	section->number = record_take_u32(&head);
	section->len = record_take_u64(&head);
	section->checksum = record_take_u32(&head);
	uint32_t index = record_take_u32(&head);
	uint32_t reserved = record_take_u32(&head);
	if (!sealed(bytes, sizeof(bytes)))
		return snapshot_bad(reader, "it is damaged at byte %llu",
				    (unsigned long long)offset);
	if (index != reader->sections++)
		return snapshot_bad(reader, "a section is missing before byte %llu",
				    (unsigned long long)offset);
	bool has_number = section->type == SNAPSHOT_CPU || section->type == SNAPSHOT_DEVICE;
	return reserved || (section->number && !has_number) ? unknown(reader) : 0;
}

/* Reads the payload of a filler, a piece at a time. */
static int skip(struct snapshot_reader *reader, const struct snapshot_section *section)
{
	uint8_t piece[512];
	uint32_t checksum = 0;
	uint8_t any = 0;

	if (section->len > SNAPSHOT_PAYLOAD_MAX)
		return snapshot_bad(reader, "a filler is too long");
	for (uint64_t left = section->len; left > 0;) {
		size_t len = left < sizeof(piece) ? left : sizeof(piece);
		int error = snapshot_take(reader, piece, len);
		if (error)
			return error;
		checksum = snapshot_checksum(checksum, piece, len);
		for (size_t i = 0; i < len; i++)
			any |= piece[i];
		left -= len;
	}
	if (checksum != section->checksum)
		return damaged(reader);
	return any ? unknown(reader) : 0;
}

int snapshot_next(struct snapshot_reader *reader, struct snapshot_section *section)
{
	int error = read_head(reader, section);

	/* One at most: a pipe may bring them without end. */
	if (!error && section->type == SNAPSHOT_FILLER) {
		error = skip(reader, section);
		if (!error)
			error = read_head(reader, section);
		if (!error && section->type == SNAPSHOT_FILLER)
			error = snapshot_bad(reader, "it has two fillers in a row");
	}
	return error;
}

int snapshot_payload(struct snapshot_reader *reader, const struct snapshot_section *section,
		     void *payload, size_t size)
{
	if (section->len > size)
		return snapshot_bad(reader, "a section of type %u is too long", section->type);
	int error = snapshot_take(reader, payload, section->len);
	if (error)
		return error;
	if (snapshot_checksum(0, payload, section->len) != section->checksum)
		return damaged(reader);
	return 0;
}

int snapshot_expect(struct snapshot_reader *reader, enum snapshot_type type, uint32_t number,
		    void *room, struct record_in *in)
{
	struct snapshot_section section;

	int error = snapshot_next(reader, &section);
	if (error)
		return error;
	if (section.type != type || section.number != number)
		return snapshot_bad(
			reader,
			"it has section %u of type %u where this ebb expects section %u of "
			"type %u",
			section.number, section.type, number, type);
	*in = (struct record_in){room, section.len, false};
	return snapshot_payload(reader, &section, room, SNAPSHOT_PAYLOAD_MAX);
}

int snapshot_close(struct snapshot_reader *reader, const struct snapshot_section *section,
		   uint64_t pages, const uint32_t *checksum)
{
	uint8_t bytes[SNAPSHOT_END_SIZE];
	struct record_in end = {bytes, sizeof(bytes), false};
	uint8_t more;

	if (section->len != sizeof(bytes))
		return snapshot_bad(reader, "its last section has a wrong length");
	int error = snapshot_payload(reader, section, bytes, sizeof(bytes));
	if (error)
		return error;
	/* This section itself is not counted. */
	uint32_t sections = record_take_u32(&end);
	uint64_t expected = record_take_u64(&end);
	if (sections != reader->sections - 1 || expected != pages)
		return snapshot_bad(reader, "sections are missing in it");
	if (checksum && *checksum != record_take_u32(&end))
		return snapshot_bad(reader, "its memory is damaged");
	ssize_t got = take_some(reader, &more, 1);
	if (got < 0)
		return (int)got;
	return got ? snapshot_bad(reader, "it goes on after its end") : 0;
}
