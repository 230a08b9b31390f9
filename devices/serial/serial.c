// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation
 *
 * Registers are read and written under the lock; each access ends in serial_settle(), the one place
 * that sets the interrupt line and checks whether held-back input can continue. The transmitter is
 * always empty: a byte goes to the host, without the lock, before the write that sent it ends.
 *
 * Interrupts, most urgent first: line status (overrun), received data, transmitter empty, modem
 * status. "Transmitter empty" is an event, not a state: it occurs when a byte has been sent and
 * when its interrupt is enabled, and ends when IIR has reported it or another byte is written.
 *
 * In loopback the bytes that the guest sends arrive in its own FIFO, the modem's inputs follow its
 * outputs, and no byte goes to or comes from the host: a driver detects the UART by that.
 */
#include "devices/serial/serial.h"

#include <errno.h>
#include <string.h>

/* Offsets. With LCR's DLAB set, the first two are the divisor. */
enum { RBR_THR = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

enum {
	IER_RECEIVED = 0x01,
	IER_THR_EMPTY = 0x02,
	IER_LINE_STATUS = 0x04,
	IER_MODEM_STATUS = 0x08,
	IER_ALL = 0x0f,

	IIR_MODEM_STATUS = 0x00,
	IIR_NONE = 0x01,
	IIR_THR_EMPTY = 0x02,
	IIR_RECEIVED = 0x04,
	IIR_LINE_STATUS = 0x06,
	IIR_FIFO = 0xc0,

	FCR_ENABLE = 0x01,
	FCR_CLEAR_RECEIVE = 0x02,

	LCR_8N1 = 0x03,
	LCR_DLAB = 0x80,

	MCR_DTR = 0x01,
	MCR_RTS = 0x02,
	MCR_OUT1 = 0x04,
	MCR_OUT2 = 0x08,
	MCR_LOOP = 0x10,
	MCR_ALL = 0x1f,

	LSR_DATA_READY = 0x01,
	LSR_OVERRUN = 0x02,
	LSR_BREAK = 0x10,
	LSR_THR_EMPTY = 0x20,
	LSR_ALL_SENT = 0x40,

	MSR_DCTS = 0x01,
	MSR_DDSR = 0x02,
	MSR_TERI = 0x04,
	MSR_DDCD = 0x08,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80,
};

/*
 * A guest that reads LSR this often in a row polls for input, as firmware and debuggers do. Linux's
 * driver reads it once or twice while it starts, and discards a byte then.
 */
#define POLLS_TO_LISTEN 8

/* --- the receive FIFO ------------------------------------------------------------------------- */

static unsigned int fifo_room(const struct serial *serial)
{
	unsigned int depth = serial->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
	return serial->count < depth ? depth - serial->count : 0;
}

static void fifo_push(struct serial *serial, uint8_t byte)
{
	if (fifo_room(serial) == 0) {
		serial->lsr_overrun = LSR_OVERRUN;
		return;
	}
	serial->fifo[(serial->first + serial->count++) % SERIAL_FIFO] = byte;
}

static uint8_t fifo_pop(struct serial *serial)
{
	if (serial->count == 0)
		return 0;
	uint8_t byte = serial->fifo[serial->first];
	serial->first = (serial->first + 1) % SERIAL_FIFO;
	serial->count--;
	if (serial->break_at > 0)
		serial->break_at--;
	return byte;
}

/* Returns how many bytes the host may send now. */
static unsigned int receive_room(const struct serial *serial)
{
	/* On a PC, OUT2 gates the interrupt; Linux tests IER before it sets OUT2. */
	bool interrupted = serial->ier & IER_RECEIVED && serial->mcr & MCR_OUT2;
	bool listens = interrupted || serial->polls >= POLLS_TO_LISTEN;
	return listens && !(serial->mcr & MCR_LOOP) ? fifo_room(serial) : 0;
}

/* --- registers -------------------------------------------------------------------------------- */

/* Returns the most urgent interrupt that is enabled and pending, as IIR encodes it. */
static uint8_t pending_interrupt(const struct serial *serial)
{
	if (serial->ier & IER_LINE_STATUS && serial->lsr_overrun)
		return IIR_LINE_STATUS;
	/*
	 * At any fill level: with a trigger level, fewer bytes would be reported only by a timer.
	 */
	if (serial->ier & IER_RECEIVED && serial->count)
		return IIR_RECEIVED;
	if (serial->ier & IER_THR_EMPTY && serial->thr_empty_event)
		return IIR_THR_EMPTY;
	if (serial->ier & IER_MODEM_STATUS && serial->msr_changes)
		return IIR_MODEM_STATUS;
	return IIR_NONE;
}

/* Returns the modem's inputs: the guest's own outputs in loopback, else a peer that is ready. */
static uint8_t modem_inputs(uint8_t mcr)
{
	if (!(mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
	       (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct serial *serial, uint8_t value)
{
	uint8_t before = modem_inputs(serial->mcr);
	serial->mcr = value & MCR_ALL;
	uint8_t after = modem_inputs(serial->mcr);

	/* TERI reports only the trailing edge of the ring indicator. */
	uint8_t changed = ((before ^ after) & ~MSR_RI) | (before & ~after & MSR_RI);
	serial->msr_changes |= changed >> 4;
}

static void write_ier(struct serial *serial, uint8_t value)
{
	uint8_t switched_on = value & ~serial->ier;
	serial->ier = value & IER_ALL;
	if (switched_on & IER_THR_EMPTY)
		serial->thr_empty_event = true;
	serial->polls = 0;
}

static void write_fcr(struct serial *serial, uint8_t value)
{
	/*
	 * In the data sheet, enabling the FIFO clears it, too. Linux enables it after the
	 * interrupt: a byte received in between would be lost.
	 */
	bool switched_off = serial->fcr & ~value & FCR_ENABLE;
	serial->fcr = value & FCR_ENABLE;
	if (switched_off || value & FCR_CLEAR_RECEIVE)
		serial->count = serial->break_at = 0;
	serial->polls = 0;
}

static uint8_t read_iir(struct serial *serial)
{
	uint8_t interrupt = pending_interrupt(serial);
	if (interrupt == IIR_THR_EMPTY)
		serial->thr_empty_event = false;
	return interrupt | (serial->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct serial *serial)
{
	uint8_t value = LSR_THR_EMPTY | LSR_ALL_SENT | serial->lsr_overrun;
	if (serial->polls < POLLS_TO_LISTEN)
		serial->polls++;
	serial->lsr_overrun = 0;
	/* Report a break once, when its zero byte is the next to be read. */
	if (serial->break_at == 1) {
		value |= LSR_BREAK;
		serial->break_at = 0;
	}
	return value | (serial->count ? LSR_DATA_READY : 0);
}

static uint8_t read_msr(struct serial *serial)
{
	uint8_t value = modem_inputs(serial->mcr) | serial->msr_changes;
	serial->msr_changes = 0;
	return value;
}

static uint8_t read_register(struct serial *serial, uint64_t offset)
{
	bool dlab = serial->lcr & LCR_DLAB;
	switch (offset) {
	case RBR_THR:
		return dlab ? serial->dll : fifo_pop(serial);
	case IER:
		return dlab ? serial->dlm : serial->ier;
	case IIR_FCR:
		return read_iir(serial);
	case LCR:
		return serial->lcr;
	case MCR:
		return serial->mcr;
	case LSR:
		return read_lsr(serial);
	case MSR:
		return read_msr(serial);
	default:
		return serial->scr;
	}
}

/* serial_write_byte() itself handles THR without DLAB. */
static void write_register(struct serial *serial, uint64_t offset, uint8_t value)
{
	bool dlab = serial->lcr & LCR_DLAB;
	switch (offset) {
	case RBR_THR:
		serial->dll = value;
		break;
	case IER:
		if (dlab)
			serial->dlm = value;
		else
			write_ier(serial, value);
		break;
	case IIR_FCR:
		write_fcr(serial, value);
		break;
	case LCR:
		serial->lcr = value;
		break;
	case MCR:
		write_mcr(serial, value);
		break;
	case SCR:
		serial->scr = value;
		break;
	default: /* LSR and MSR are written only in factory tests */
		break;
	}
}

/* --- interface -------------------------------------------------------------------------------- */

/*
 * Ends every access, with the lock held: updates the interrupt line. Returns whether to call
 * receive_ready(), after unlocking.
 */
static bool serial_settle(struct serial *serial)
{
	int level = pending_interrupt(serial) != IIR_NONE;
	if (level != serial->level) {
		serial->level = level;
		serial->host->interrupt(serial->host->ctx, level);
	}
	/* Wait for an empty FIFO: one wake-up for sixteen bytes. */
	if (!serial->held_back || serial->count || receive_room(serial) == 0)
		return false;
	serial->held_back = false;
	return true;
}

void serial_init(struct serial *serial, const struct serial_host *host)
{
	memset(serial, 0, sizeof(*serial));
	serial->host = host;
	/* 115200 baud, as firmware leaves it: an early console divides by this divisor. */
	serial->lcr = LCR_8N1;
	serial->dll = 1;
	pthread_mutex_init(&serial->lock, NULL);
}

void serial_release(struct serial *serial)
{
	pthread_mutex_destroy(&serial->lock);
}

static uint8_t serial_read_byte(struct serial *serial, uint64_t offset)
{
	pthread_mutex_lock(&serial->lock);
	uint8_t value = read_register(serial, offset);
	bool ready = serial_settle(serial);
	pthread_mutex_unlock(&serial->lock);

	if (ready)
		serial->host->receive_ready(serial->host->ctx);
	return value;
}

static void serial_write_byte(struct serial *serial, uint64_t offset, uint8_t value)
{
	pthread_mutex_lock(&serial->lock);
	bool sends = offset == RBR_THR && !(serial->lcr & LCR_DLAB);
	if (sends && !(serial->mcr & MCR_LOOP)) {
		/* Unlock: the host may take its time, and other vCPUs must not wait for it here. */
		pthread_mutex_unlock(&serial->lock);
		serial->host->transmit(serial->host->ctx, &value, 1);
		pthread_mutex_lock(&serial->lock);
	} else if (sends) {
		fifo_push(serial, value);
	} else {
		write_register(serial, offset, value);
	}
	if (sends) {
		serial->thr_empty_event = true;
		serial->polls = 0;
	}
	bool ready = serial_settle(serial);
	pthread_mutex_unlock(&serial->lock);

	if (ready)
		serial->host->receive_ready(serial->host->ctx);
}

/* Registers are a byte wide: a wider access is split into its bytes, as on an 8-bit bus. */
void serial_read(struct serial *serial, uint64_t offset, void *data, unsigned int len)
{
	uint8_t *bytes = data;
	for (unsigned int i = 0; i < len; i++)
		bytes[i] = offset + i < SERIAL_SIZE ? serial_read_byte(serial, offset + i) : 0xff;
}

void serial_write(struct serial *serial, uint64_t offset, const void *data, unsigned int len)
{
	const uint8_t *bytes = data;
	for (unsigned int i = 0; i < len && offset + i < SERIAL_SIZE; i++)
		serial_write_byte(serial, offset + i, bytes[i]);
}

size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len)
{
	pthread_mutex_lock(&serial->lock);
	size_t taken = receive_room(serial);
	if (taken > len)
		taken = len;
	for (size_t i = 0; i < taken; i++)
		fifo_push(serial, data[i]);
	serial->held_back = taken < len;
	/* Ignore the result: input held back just now found no room. */
	serial_settle(serial);
	pthread_mutex_unlock(&serial->lock);
	return taken;
}

int serial_break(struct serial *serial, uint8_t key)
{
	pthread_mutex_lock(&serial->lock);
	bool room = receive_room(serial) >= 2 && serial->break_at == 0;
	if (room) {
		fifo_push(serial, 0);
		serial->break_at = serial->count;
		fifo_push(serial, key);
	}
	bool ready = serial_settle(serial);
	pthread_mutex_unlock(&serial->lock);

	if (ready)
		serial->host->receive_ready(serial->host->ctx);
	return room ? 0 : -EAGAIN;
}

void serial_save(struct serial *serial, struct record *record)
{
	pthread_mutex_lock(&serial->lock);
	const uint8_t bytes[] = {serial->ier,	      serial->fcr,
				 serial->lcr,	      serial->mcr,
				 serial->scr,	      serial->dll,
				 serial->dlm,	      serial->lsr_overrun,
				 serial->msr_changes, serial->thr_empty_event};
	record_bytes(record, bytes, sizeof(bytes));
	record_u8(record, (uint8_t)serial->count);
	record_u8(record, (uint8_t)serial->break_at);
	record_u8(record, (uint8_t)serial->polls);
	for (unsigned int i = 0; i < SERIAL_FIFO; i++)
		record_u8(record, serial->fifo[(serial->first + i) % SERIAL_FIFO]);
	pthread_mutex_unlock(&serial->lock);
}

int serial_restore(struct serial *serial, struct record_in *in)
{
	uint8_t bytes[10];

	pthread_mutex_lock(&serial->lock);
	record_take_bytes(in, bytes, sizeof(bytes));
	serial->ier = bytes[0] & IER_ALL;
	serial->fcr = bytes[1] & FCR_ENABLE;
	serial->lcr = bytes[2];
	serial->mcr = bytes[3] & MCR_ALL;
	serial->scr = bytes[4];
	serial->dll = bytes[5];
	serial->dlm = bytes[6];
	serial->lsr_overrun = bytes[7] & LSR_OVERRUN;
	serial->msr_changes = bytes[8] & 0x0f;
	serial->thr_empty_event = bytes[9] != 0;
	serial->count = record_take_u8(in);
	serial->break_at = record_take_u8(in);
	serial->polls = record_take_u8(in);
	serial->first = 0;
	record_take_bytes(in, serial->fifo, sizeof(serial->fifo));
	bool right = record_complete(in) && serial->count <= SERIAL_FIFO &&
		     serial->break_at <= serial->count && serial->polls <= POLLS_TO_LISTEN;
	if (!right)
		serial->count = serial->break_at = serial->polls = 0;
	/* Input that the host offered before the restored guest listened is asked for as usual. */
	bool ready = serial_settle(serial);
	pthread_mutex_unlock(&serial->lock);
	if (ready)
		serial->host->receive_ready(serial->host->ctx);
	return right ? 0 : -EINVAL;
}
