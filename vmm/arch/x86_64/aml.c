// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/x86_64/aml.h"

#include <string.h>

enum {
	NAME = 0x08,
	BYTE = 0x0a,
	WORD = 0x0b,
	DWORD = 0x0c,
	TEXT = 0x0d,
	SCOPE = 0x10,
	BUFFER = 0x11,
	PACKAGE = 0x12,
	METHOD = 0x14,
	ROOT = 0x5c,
	TWO_NAMES = 0x2e,
	NOTIFY = 0x86,
	EXTENDED = 0x5b,
	DEVICE = 0x82, /* follows EXTENDED */

	IO = 0x47,
	IO_DECODE_16 = 0x01,
	MEMORY_32_FIXED = 0x86,
	MEMORY_WRITABLE = 0x01,
	INTERRUPT = 0x89,
	INTERRUPT_CONSUMER = 0x01,
	INTERRUPT_EDGE = 0x02,
	END_TAG = 0x79,
};

/* Even a short length takes three bytes, so that it can be filled in once it is known. */
#define LENGTH	       3
#define LENGTH_OF_3    0x80
#define LENGTH_MAX     0xfffff
#define RESOURCES_MAX  0xff /* bytes, so that the size of their buffer fits one byte */
#define RESOURCES_SIZE 2    /* of that size, with its prefix */

static void put(struct aml *aml, const void *data, size_t size)
{
	if (aml->full || size > aml->capacity - aml->size) {
		aml->full = true;
		return;
	}
	memcpy(aml->out + aml->size, data, size);
	aml->size += size;
}

static void put_byte(struct aml *aml, uint8_t value)
{
	put(aml, &value, 1);
}

static void put_number(struct aml *aml, uint32_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		put_byte(aml, value >> (8 * i));
}

static void put_name(struct aml *aml, const char *name)
{
	put(aml, name, strlen(name));
}

static size_t open_length(struct aml *aml)
{
	size_t open = aml->size;
	put_number(aml, 0, LENGTH);
	return open;
}

void aml_close(struct aml *aml, size_t open)
{
	if (aml->full)
		return;
	size_t length = aml->size - open;
	if (length > LENGTH_MAX) {
		aml->full = true;
		return;
	}
	aml->out[open] = LENGTH_OF_3 | (length & 0xf);
	aml->out[open + 1] = length >> 4;
	aml->out[open + 2] = length >> 12;
}

size_t aml_scope(struct aml *aml, const char *name)
{
	put_byte(aml, SCOPE);
	size_t open = open_length(aml);
	put_name(aml, name);
	return open;
}

size_t aml_device(struct aml *aml, const char *name)
{
	put_byte(aml, EXTENDED);
	put_byte(aml, DEVICE);
	size_t open = open_length(aml);
	put_name(aml, name);
	return open;
}

size_t aml_method(struct aml *aml, const char *name)
{
	put_byte(aml, METHOD);
	size_t open = open_length(aml);
	put_name(aml, name);
	put_byte(aml, 0); /* no arguments */
	return open;
}

void aml_notify(struct aml *aml, const char *scope, const char *device, uint8_t value)
{
	put_byte(aml, NOTIFY);
	put_byte(aml, ROOT);
	put_byte(aml, TWO_NAMES);
	put_name(aml, scope);
	put_name(aml, device);
	put_byte(aml, BYTE);
	put_byte(aml, value);
}

size_t aml_resources(struct aml *aml, const char *name)
{
	put_byte(aml, NAME);
	put_name(aml, name);
	put_byte(aml, BUFFER);
	size_t open = open_length(aml);
	put_byte(aml, BYTE);
	put_byte(aml, 0);
	return open;
}

void aml_resources_close(struct aml *aml, size_t open)
{
	put_byte(aml, END_TAG);
	put_byte(aml, 0); /* no checksum */
	if (aml->full)
		return;
	size_t size = aml->size - open - LENGTH - RESOURCES_SIZE;
	aml->full = size > RESOURCES_MAX;
	aml->out[open + LENGTH + RESOURCES_SIZE - 1] = size;
	aml_close(aml, open);
}

static void put_integer(struct aml *aml, uint32_t value)
{
	/* 0 and 1 have opcodes of their own, ZeroOp and OneOp. */
	if (value <= 1) {
		put_byte(aml, value);
		return;
	}
	unsigned int bytes = value <= 0xff ? 1 : value <= 0xffff ? 2 : 4;
	put_byte(aml, bytes == 1 ? BYTE : bytes == 2 ? WORD : DWORD);
	put_number(aml, value, bytes);
}

void aml_text(struct aml *aml, const char *name, const char *text)
{
	put_byte(aml, NAME);
	put_name(aml, name);
	put_byte(aml, TEXT);
	put(aml, text, strlen(text) + 1);
}

void aml_integer(struct aml *aml, const char *name, uint32_t value)
{
	put_byte(aml, NAME);
	put_name(aml, name);
	put_integer(aml, value);
}

void aml_package(struct aml *aml, const char *name, const uint32_t *value, uint8_t n)
{
	put_byte(aml, NAME);
	put_name(aml, name);
	put_byte(aml, PACKAGE);
	size_t open = open_length(aml);
	put_byte(aml, n);
	for (unsigned int i = 0; i < n; i++)
		put_integer(aml, value[i]);
	aml_close(aml, open);
}

void aml_io(struct aml *aml, uint16_t port, uint8_t ports)
{
	put_byte(aml, IO);
	put_byte(aml, IO_DECODE_16);
	put_number(aml, port, 2); /* the lowest, then the highest, first port */
	put_number(aml, port, 2);
	put_byte(aml, 1); /* in steps of one */
	put_byte(aml, ports);
}

void aml_memory(struct aml *aml, uint32_t gpa, uint32_t size)
{
	put_byte(aml, MEMORY_32_FIXED);
	put_number(aml, 9, 2); /* bytes that follow */
	put_byte(aml, MEMORY_WRITABLE);
	put_number(aml, gpa, 4);
	put_number(aml, size, 4);
}

void aml_interrupt(struct aml *aml, uint32_t gsi)
{
	put_byte(aml, INTERRUPT);
	put_number(aml, 6, 2); /* bytes that follow */
	put_byte(aml, INTERRUPT_CONSUMER | INTERRUPT_EDGE);
	put_byte(aml, 1); /* number of interrupts */
	put_number(aml, gsi, 4);
}
