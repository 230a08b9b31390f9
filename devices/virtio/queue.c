// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vmm/mem/dirty_log.h"

/* The most bytes that a chain may hold (virtio 1.2 §2.7.5.2). */
#define CHAIN_BYTES_MAX (1ULL << 32)

/* The table of descriptors that a chain walks through. */
struct walk {
	const struct vring_desc *table;
	unsigned int size;
};

/* Returns [@gpa, @gpa + @len) as a host pointer, or NULL if it is misaligned or not all RAM. */
static void *ring_at(const struct ram *ram, uint64_t gpa, uint64_t len, unsigned int alignment)
{
	return gpa % alignment ? NULL : ram_at(ram, gpa, len);
}

int virtq_start(struct virtq *q, const struct ram *ram, unsigned int flags)
{
	uint64_t size = q->size;
	if (size == 0 || size > q->size_max || (size & (size - 1)) != 0)
		return -EINVAL;

	/* Sizes and alignments of virtio 1.2 §2.7; the 6 has room for the event index at the end. */
	void *desc = ring_at(ram, q->desc_gpa, 16 * size, 16);
	void *avail = ring_at(ram, q->avail_gpa, 6 + 2 * size, 2);
	void *used = ring_at(ram, q->used_gpa, 6 + 8 * size, 4);
	if (!desc || !avail || !used)
		return -EINVAL;

	q->ram = ram;
	q->indirect = flags & VIRTQ_INDIRECT;
	q->event_idx = flags & VIRTQ_EVENT_IDX;
	q->desc = desc;
	q->avail = avail;
	q->used = used;
	q->next_avail = 0;
	q->next_used = 0;
	q->signalled = 0;
	q->seen = 0;
	q->lent = false;
	q->ready = true;
	return 0;
}

void virtq_take_back(struct virtq *q, uint16_t next)
{
	q->lent = false;
	q->next_avail = next;
	q->next_used = next;
	q->signalled = next;
	q->seen = next;
}

void virtq_stop(struct virtq *q)
{
	q->ready = false;
	q->desc = NULL;
	q->avail = NULL;
	q->used = NULL;
}

void virtq_reset(struct virtq *q)
{
	*q = (struct virtq){.size_max = q->size_max};
}

void virtq_save(const struct virtq *q, struct record *record)
{
	record_u32(record, q->size);
	record_u64(record, q->desc_gpa);
	record_u64(record, q->avail_gpa);
	record_u64(record, q->used_gpa);
	record_u8(record, q->ready);
	record_u16(record, q->ready ? q->next_avail : 0);
	record_u16(record, q->ready ? q->next_used : 0);
	record_u16(record, q->ready ? q->signalled : 0);
}

int virtq_restore(struct virtq *q, const struct ram *ram, unsigned int flags, struct record_in *in)
{
	virtq_reset(q);
	q->size = record_take_u32(in);
	q->desc_gpa = record_take_u64(in);
	q->avail_gpa = record_take_u64(in);
	q->used_gpa = record_take_u64(in);
	uint8_t ready = record_take_u8(in);
	uint16_t next_avail = record_take_u16(in);
	uint16_t next_used = record_take_u16(in);
	uint16_t signalled = record_take_u16(in);

	if (in->bad || ready > 1)
		return -EINVAL;
	if (!ready)
		return 0;
	if (virtq_start(q, ram, flags) || (uint16_t)(next_avail - next_used) > q->size) {
		virtq_stop(q);
		return -EINVAL;
	}
	q->next_avail = next_avail;
	q->next_used = next_used;
	q->signalled = signalled;
	/* The queue is looked at again: what was added meanwhile is found then. */
	q->seen = next_avail;
	return 0;
}

/* Returns the driver's index; the driver's writes before it are visible after this. */
static uint16_t avail_idx(const struct virtq *q)
{
	return le16toh(__atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE));
}

static struct vring_desc desc_copy(const struct vring_desc *desc)
{
	struct vring_desc copy = *desc;
	/* The compiler may not read it again: the guest can change it at any time. */
	__asm__ volatile("" ::: "memory");
	copy.addr = le64toh(copy.addr);
	copy.len = le32toh(copy.len);
	copy.flags = le16toh(copy.flags);
	copy.next = le16toh(copy.next);
	return copy;
}

/* Copies the indirect table that @desc refers to, and continues the walk there. */
static int walk_indirect(const struct virtq *q, const struct vring_desc *desc,
			 struct vring_desc *table, struct walk *walk)
{
	uint32_t entries = desc->len / sizeof(*table);

	/* Only if negotiated, no table within a table, and it ends the chain (§2.7.5.3.1). */
	if (!q->indirect || walk->table == table || (desc->flags & VRING_DESC_F_NEXT))
		return -EPROTO;
	if (desc->len % sizeof(*table) || entries == 0 || entries > VIRTIO_QUEUE_SIZE_MAX)
		return -EPROTO;
	if (ram_read(q->ram, desc->addr, table, desc->len))
		return -EPROTO;
	*walk = (struct walk){.table = table, .size = entries};
	return 0;
}

static int chain_add(struct virtq_chain *chain, const struct vring_desc *desc, uint64_t *bytes)
{
	bool writable = desc->flags & VRING_DESC_F_WRITE;

	if (chain->buffers == VIRTIO_QUEUE_SIZE_MAX)
		return -EPROTO;
	/* Device-readable buffers come before device-writable ones (§2.7.4.2). */
	if (!writable && chain->readable != chain->buffers)
		return -EPROTO;
	*bytes += desc->len;
	if (*bytes > CHAIN_BYTES_MAX)
		return -EPROTO;
	chain->buffer[chain->buffers++] = (struct gpa_range){desc->addr, desc->len};
	if (!writable)
		chain->readable++;
	return 0;
}

static int chain_walk(const struct virtq *q, struct virtq_chain *chain)
{
	struct vring_desc table[VIRTIO_QUEUE_SIZE_MAX];
	struct walk walk = {.table = q->desc, .size = q->size};
	unsigned int index = chain->head;
	uint64_t bytes = 0;

	/* Each turn adds a buffer, whose number is limited, or enters a table, which happens once:
	 * a circular chain ends, too. */
	for (;;) {
		if (index >= walk.size)
			return -EPROTO;
		struct vring_desc desc = desc_copy(&walk.table[index]);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			int error = walk_indirect(q, &desc, table, &walk);
			if (error)
				return error;
			index = 0;
			continue;
		}
		int error = chain_add(chain, &desc, &bytes);
		if (error)
			return error;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		index = desc.next;
	}
}

int virtq_chain_at(const struct virtq *q, uint16_t head, struct virtq_chain *chain)
{
	chain->head = head;
	chain->buffers = 0;
	chain->readable = 0;
	return chain_walk(q, chain);
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	/*
	 * The chains that the device holds, then these plus the waiting ones; 16-bit, so that
	 * indices wrap.
	 */
	uint16_t held = q->next_avail - q->next_used;
	q->seen = avail_idx(q);
	uint16_t outstanding = q->seen - q->next_used;
	if (outstanding > q->size || outstanding < held)
		return -EPROTO;
	if (outstanding == held)
		return 0;

	const __virtio16 *slot = &q->avail->ring[q->next_avail % q->size];
	int error = virtq_chain_at(q, le16toh(__atomic_load_n(slot, __ATOMIC_RELAXED)), chain);
	if (error)
		return error;
	q->next_avail++;
	return 1;
}

ssize_t virtq_read(const struct ram *ram, const struct virtq_chain *chain,
		   struct virtq_cursor *cursor, void *data, size_t len)
{
	size_t copied = 0;

	while (copied < len && cursor->buffer < chain->readable) {
		const struct gpa_range *buffer = &chain->buffer[cursor->buffer];
		size_t n = buffer->len - cursor->offset;

		if (n > len - copied)
			n = len - copied;
		if (n > 0) {
			/* Everything up to the offset was RAM, so this sum cannot wrap. */
			if (ram_read(ram, buffer->gpa + cursor->offset, (uint8_t *)data + copied,
				     n))
				return -EFAULT;
			copied += n;
			cursor->offset += n;
		}
		if (cursor->offset == buffer->len)
			*cursor = (struct virtq_cursor){.buffer = cursor->buffer + 1};
	}
	return copied;
}

ssize_t virtq_write(const struct ram *ram, const struct virtq_chain *chain, const void *data,
		    size_t len)
{
	size_t copied = 0;

	for (unsigned int i = chain->readable; i < chain->buffers && copied < len; i++) {
		size_t n = chain->buffer[i].len;

		if (n > len - copied)
			n = len - copied;
		if (n > 0 &&
		    ram_write(ram, chain->buffer[i].gpa, (const uint8_t *)data + copied, n))
			return -EFAULT;
		copied += n;
	}
	return copied;
}

/* Its pages are few: all of them. */
static void wrote_used(const struct virtq *q)
{
	ram_wrote(q->ram, q->used, 6 + 8 * (uint64_t)q->size);
}

void virtq_push_all(struct virtq *q, const struct virtq_done *done, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct vring_used_elem *slot = &q->used->ring[q->next_used % q->size];
		slot->id = htole32(done[i].head);
		slot->len = htole32(done[i].len);
		q->next_used++;
	}
	/*
	 * Releases the elements. Sequentially consistent, as is the load of the flags in
	 * virtq_should_interrupt(), so that the two keep their order: otherwise a driver that asks for
	 * interrupts and then looks at the ring could see neither an element nor an interrupt.
	 */
	__atomic_store_n(&q->used->idx, htole16(q->next_used), __ATOMIC_SEQ_CST);
	wrote_used(q);
}

void virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t len)
{
	virtq_push_head(q, chain->head, len);
}

void virtq_push_head(struct virtq *q, uint16_t head, uint32_t len)
{
	virtq_push_all(q, &(const struct virtq_done){head, len}, 1);
}

void virtq_unpop(struct virtq *q, unsigned int n)
{
	q->next_avail -= n;
}

bool virtq_empty(const struct virtq *q)
{
	return avail_idx(q) == q->next_avail;
}

bool virtq_saw_all(const struct virtq *q, uint16_t seen)
{
	return avail_idx(q) == seen;
}

/*
 * The event indices (§2.7.7.1, §2.7.10.1): each is the last field of the other side's ring. Sequentially
 * consistent, for the reason given in virtq_push_all().
 */
static uint16_t used_event(const struct virtq *q)
{
	return le16toh(__atomic_load_n(&q->avail->ring[q->size], __ATOMIC_SEQ_CST));
}

static void set_avail_event(struct virtq *q, uint16_t idx)
{
	__virtio16 *event = (__virtio16 *)&q->used->ring[q->size];
	__atomic_store_n(event, htole16(idx), __ATOMIC_SEQ_CST);
	wrote_used(q);
}

bool virtq_should_interrupt(struct virtq *q)
{
	uint16_t old = q->signalled;
	if (old == q->next_used)
		return false;
	q->signalled = q->next_used;
	/* The driver may write any index there: at worst it misses its own interrupts. */
	if (q->event_idx)
		return vring_need_event(used_event(q), q->next_used, old);
	uint16_t flags = le16toh(__atomic_load_n(&q->avail->flags, __ATOMIC_SEQ_CST));
	return !(flags & VRING_AVAIL_F_NO_INTERRUPT);
}

bool virtq_rearm(struct virtq *q)
{
	uint16_t idx = avail_idx(q);
	bool more = idx != q->seen;

	if (!q->event_idx)
		return false;
	q->seen = idx;
	/* The device comes back anyway: until then it need not be notified. */
	if (more)
		return true;
	set_avail_event(q, idx);
	/*
	 * The driver adds a chain, then reads the event; here it is the reverse: one of them sees.
	 */
	return le16toh(__atomic_load_n(&q->avail->idx, __ATOMIC_SEQ_CST)) != idx;
}
