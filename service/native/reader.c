/* The native reader: what devices send most, read in C.
 *
 * `read` takes what a socket has received, from the beginning of a frame on, and returns the messages in it and where
 * it stopped. Each run of `update_data` events of its device becomes one `Updates`: joined, what
 * `service.schema.samples.parse_update` makes of them. Any other text becomes a str. It stops at the first thing that
 * is no whole, unfragmented text frame of a client in UTF-8: there `service.protocol.frames.Parser` continues.
 *
 * Python is the reference. This file knows one plain form of everything, in which the JSON that comes in is, but for
 * spaces and the digits of some floats, the JSON that goes out. An event with an escape, an exponent, more than 18
 * digits, a field that comes twice or is not known here, a value that is deep or too long, or anything wrong is
 * unusual: it is handed on as text, and Python takes or refuses it. So nothing is refused here, and every doubt is
 * decided for Python. The tests give both the same bytes and compare what comes of them.
 * Only a cache of keys is kept between calls. A NUL stands behind each text, which is valid nowhere in JSON and so ends
 * every loop; what is written is never longer than what was read for it. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Python asks for this number before it uses the rest. */
#define INTERFACE 2

enum {
    MAX_TEXT = 65535,   /* bytes of a frame */
    MAX_BATCH = 256,    /* events in one Updates */
    MAX_ROWS = 512,     /* samples of one event, and in one Updates */
    MAX_FEED = 1 << 18, /* bytes of their JSON in one Updates; one event has less than half of it */
    MAX_MEMBERS = 32,   /* of an object within a value */
    MAX_DEPTH = 8,      /* of a value */
    MAX_COUNT = 15,     /* digits of an ack number or a seq */
    MAX_INTEGER = 18,   /* digits: 64 bits hold them all */
    MAX_EXACT = 15,     /* digits of a float: no other float has the same */
    MAX_FLOAT = 40,     /* characters */
    MAX_SECONDS = 11,   /* digits of a time: well below its limit */
    KEYS = 512,         /* in the cache */
};

typedef struct {
    const char *at;
    Py_ssize_t size;
} Span;

/* One sample; its value and time as they go out. */
typedef struct {
    Span key, value, ts; /* without a time of its own: of size 0 */
    uint32_t hash;
    PyObject *name; /* the key as Python has it */
} Row;

/* One event, while it is read and when it has been. */
typedef struct {
    const char *at, *end; /* what is still to be read */
    char *out;            /* where values and times are written */
    Span id;              /* of the device's session, as JSON */
    Py_ssize_t max_value_bytes;
    Row *rows;
    Py_ssize_t count, bytes_in, text_bytes;
    Span ts;            /* of the event; of size 0: none */
    long long seq, ack; /* 0 and -1: none */
} Event;

/* A run of events that follow each other, in their frames and in their numbers. */
typedef struct {
    PyObject *keys, *acks; /* NULL: there is none */
    Py_ssize_t start, events, samples, bytes_in, text_bytes, feed_bytes;
    long long first_seq, next_seq; /* 0: they have none */
} Batch;

/* What is kept for all calls, and, below `is_reading`, for one of them; see the stub. */
typedef struct {
    PyObject *keys[KEYS]; /* that Python has taken; some are NULL */
    newfunc new_tuple;
    bool is_reading;
    PyObject *now, *head, *now_text;
    PyTypeObject *updates;
    Py_ssize_t max_bytes, max_value_bytes;
    Batch batch;
    Row rows[MAX_ROWS];
    char text[MAX_TEXT + 1]; /* of the present frame, unmasked */
    char out[MAX_TEXT + 1];
    char feed[MAX_FEED]; /* of the batch: `["key",value,ts],…` */
} State;

/* --- JSON in its plain form. Functions return false for what is unusual. */

static void skip(Event *event)
{
    while (*event->at == ' ' || *event->at == '\n' || *event->at == '\t' || *event->at == '\r')
        event->at++;
}

/* Reads the space that may be there, and this character. */
static bool take(Event *event, char wanted)
{
    skip(event);
    if (*event->at != wanted)
        return false;
    event->at++;
    return true;
}

static bool take_word(Event *event, const char *word, size_t size)
{
    if ((size_t)(event->end - event->at) < size || memcmp(event->at, word, size) != 0)
        return false;
    event->at += size;
    return true;
}

static void put(Event *event, const char *text, size_t size)
{
    memcpy(event->out, text, size);
    event->out += size;
}

static const char *behind_digits(const char *at)
{
    while (*at >= '0' && *at <= '9')
        at++;
    return at;
}

static bool is_same(Span one, Span other)
{
    return one.size == other.size && memcmp(one.at, other.at, one.size) == 0;
}

static bool scan_string(Event *event, Span *raw)
{
    skip(event);
    const char *start = event->at, *at = start;
    if (*at++ != '"')
        return false;
    for (; *at != '"'; at++)
        if ((unsigned char)*at < 0x20 || *at == '\\')
            return false;
    event->at = at + 1;
    *raw = (Span){start, event->at - start};
    return true;
}

static uint32_t hash_of(Span raw)
{
    uint32_t hash = 2166136261u;
    for (Py_ssize_t i = 0; i < raw.size; i++)
        hash = (hash ^ (unsigned char)raw.at[i]) * 16777619u;
    return hash;
}

/* Writes a float in its shortest form: from 0.0001 to 10^16 Python and orjson write the same. */
static bool put_shortest(Event *event, const char *start, size_t size)
{
    char text[MAX_FLOAT + 1] = {0};
    memcpy(text, start, size);
    double value = PyOS_string_to_double(text, NULL, NULL), much = value < 0 ? -value : value;
    bool is_plain = !PyErr_Occurred() && much >= 1e-4 && much < 1e16;
    char *shortest = is_plain ? PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL) : NULL;
    bool fits = shortest && strlen(shortest) <= size;
    if (fits)
        put(event, shortest, strlen(shortest));
    PyMem_Free(shortest);
    PyErr_Clear();
    return fits;
}

/* A float of few digits, the last of which matters, is its own shortest form: no other number of as few digits is the
 * same double. An exponent is behind what is read here, where nothing may stand. */
static bool scan_number(Event *event)
{
    const char *start = event->at, *whole = start + (*start == '-'), *at = behind_digits(whole);
    Py_ssize_t digits = at - whole, places = 0;
    if (digits < 1 || (*whole == '0' && digits > 1))
        return false;
    bool is_small = *whole == '0', is_sure = true;
    if (*at == '.') {
        const char *fraction = at + 1;
        at = behind_digits(fraction);
        places = at - fraction;
        is_small = is_small && strncmp(fraction, "000", 3) == 0;
        is_sure = !is_small && digits + places <= MAX_EXACT && (places == 1 || at[-1] != '0');
        if (places < 1 || at - start > MAX_FLOAT)
            return false;
    } else if (digits > MAX_INTEGER || (is_small && whole != start)) {
        return false;
    }
    event->at = at;
    if (!is_sure)
        return put_shortest(event, start, at - start);
    put(event, start, at - start);
    return true;
}

static bool scan_value(Event *event, int depth);

/* An object or an array. Of a member that comes twice the last value counts, in the place of the first: that is unusual,
 * and so are two names of one hash. */
static bool scan_nested(Event *event, int depth, bool is_object)
{
    const char end = is_object ? '}' : ']';
    uint32_t seen[MAX_MEMBERS];
    Span name;
    if (depth > MAX_DEPTH)
        return false;
    *event->out++ = *event->at++;
    if (!take(event, end)) {
        int count = 0;
        do {
            if (is_object) {
                if (count == MAX_MEMBERS || !scan_string(event, &name) || !take(event, ':'))
                    return false;
                seen[count] = hash_of(name);
                for (int i = 0; i < count; i++)
                    if (seen[i] == seen[count])
                        return false;
                count++;
                put(event, name.at, name.size);
                *event->out++ = ':';
            }
            if (!scan_value(event, depth))
                return false;
            *event->out++ = ',';
        } while (take(event, ','));
        event->out--;
        if (!take(event, end))
            return false;
    }
    *event->out++ = end;
    return true;
}

static bool scan_value(Event *event, int depth)
{
    Span raw;
    skip(event);
    const char *start = event->at;
    if (*start == '{' || *start == '[')
        return scan_nested(event, depth + 1, *start == '{');
    if (!scan_string(event, &raw) && !take_word(event, "true", 4) && !take_word(event, "false", 5) &&
        !take_word(event, "null", 4))
        return scan_number(event);
    put(event, start, event->at - start);
    return true;
}

/* --- events */

static bool scan_sample_value(Event *event, Span *value)
{
    value->at = event->out;
    if (!scan_value(event, 0))
        return false;
    value->size = event->out - value->at;
    return value->size <= event->max_value_bytes;
}

static bool scan_ts(Event *event, Span *ts)
{
    skip(event);
    if (behind_digits(event->at) - event->at > MAX_SECONDS || *event->at == '-')
        return false;
    ts->at = event->out;
    if (!scan_number(event))
        return false;
    ts->size = event->out - ts->at;
    return true;
}

static bool scan_count(Event *event, long long *count)
{
    const char *start = event->at;
    event->at = behind_digits(start);
    for (const char *at = start; at < event->at && at < start + MAX_COUNT; at++)
        *count = (at == start ? 0 : *count * 10) + (*at - '0');
    return event->at > start && event->at - start <= MAX_COUNT;
}

/* `"data": {key: value, …}` or `"samples": [[key, value] or [key, value, ts], …]` */
static bool scan_rows(Event *event, bool is_object)
{
    if (!take(event, is_object ? '{' : '['))
        return false;
    do {
        if (event->count == MAX_ROWS || (!is_object && !take(event, '[')))
            return false;
        Row *row = &event->rows[event->count++];
        row->ts.size = 0;
        if (!scan_string(event, &row->key) || !take(event, is_object ? ':' : ','))
            return false;
        row->hash = hash_of(row->key);
        for (Row *other = event->rows; is_object && other < row; other++)
            if (other->hash == row->hash)
                return false;
        if (!scan_sample_value(event, &row->value))
            return false;
        if (!is_object && ((take(event, ',') && !scan_ts(event, &row->ts)) || !take(event, ']')))
            return false;
    } while (take(event, ','));
    return take(event, is_object ? '}' : ']');
}

enum { DEVICE = 1, SESSION = 2, KEY = 4, VALUE = 8, TS = 16, SEQ = 32, DATA = 64, SAMPLES = 128 };

#define IS(name, word) is_same(name, (Span){"\"" word "\"", sizeof word + 1})

/* Reads one member of the payload; returns which it was, 0: unusual. */
static unsigned scan_member(Event *event, Row *only)
{
    Span name, named;
    if (!scan_string(event, &name) || !take(event, ':'))
        return 0;
    if (IS(name, "key"))
        return scan_string(event, &only->key) ? KEY : 0;
    if (IS(name, "value"))
        return scan_sample_value(event, &only->value) ? VALUE : 0;
    if (IS(name, "ts"))
        return scan_ts(event, &event->ts) ? TS : 0;
    if (IS(name, "data"))
        return scan_rows(event, true) ? DATA : 0;
    if (IS(name, "samples"))
        return scan_rows(event, false) ? SAMPLES : 0;
    if (IS(name, "seq")) {
        skip(event);
        return *event->at != '0' && scan_count(event, &event->seq) ? SEQ : 0;
    }
    unsigned member = IS(name, "device_id") ? DEVICE : IS(name, "session_id") ? SESSION : 0;
    return member && scan_string(event, &named) && is_same(named, event->id) ? member : 0;
}

/* The text of a frame: `42`, an ack number or none, `["update_data",{…}]`. */
static bool scan_event(Event *event)
{
    Row only = {.ts.size = 0};
    unsigned members = 0, member;
    if (!take_word(event, "42", 2) || (*event->at != '[' && !scan_count(event, &event->ack)) || *event->at != '[')
        return false;
    event->text_bytes = event->end - event->at++;
    skip(event);
    if (!take_word(event, "\"update_data\"", 13) || !take(event, ',') || !take(event, '{'))
        return false;
    do {
        member = scan_member(event, &only);
        if (!member || members & member)
            return false;
        members |= member;
    } while (take(event, ','));
    if (!take(event, '}') || !take(event, ']') || (skip(event), event->at != event->end))
        return false;
    members &= KEY | VALUE | DATA | SAMPLES;
    if (members == (KEY | VALUE)) {
        only.hash = hash_of(only.key);
        event->rows[event->count++] = only;
    }
    return members == (KEY | VALUE) || members == DATA || members == SAMPLES;
}

/* --- objects. What is false or NULL for what is unusual is without an error then. */

static bool see(PyObject *bytes, Span *span)
{
    char *at = NULL;
    bool is_seen = bytes && PyBytes_AsStringAndSize(bytes, &at, &span->size) == 0;
    span->at = at;
    return is_seen;
}

/* The key as Python has it, from the cache where it is in there. */
static PyObject *find_key(State *self, const Row *row)
{
    PyObject **slot = &self->keys[row->hash % KEYS];
    Span raw = {row->key.at + 1, row->key.size - 2}, text;
    text.at = *slot ? PyUnicode_AsUTF8AndSize(*slot, &text.size) : NULL;
    if (text.at && is_same(text, raw))
        return Py_NewRef(*slot);
    PyObject *key = PyUnicode_DecodeUTF8(raw.at, raw.size, "strict");
    PyObject *head = key ? PyObject_CallFunctionObjArgs(self->head, key, NULL) : NULL;
    bool is_taken = see(head, &text) && is_same((Span){text.at + 1, text.size - 2}, row->key);
    PyObject *gone = is_taken ? *slot : key;
    *slot = is_taken ? key : *slot;
    Py_XDECREF(gone);
    Py_XDECREF(head);
    return is_taken ? Py_NewRef(key) : NULL;
}

/* Gives each row its key and its time; counts those that have both. An event that is mostly space is unusual: frames are
 * kept until their samples are stored. */
static bool complete_rows(State *self, Event *event)
{
    Py_ssize_t count = event->count;
    for (event->count = 0; event->count < count; event->count++) {
        Row *row = &event->rows[event->count];
        row->ts = row->ts.size ? row->ts : event->ts;
        if (!row->ts.size && !self->now_text)
            self->now_text = PyObject_CallNoArgs(self->now);
        row->name = row->ts.size || see(self->now_text, &row->ts) ? find_key(self, row) : NULL;
        if (!row->name)
            return false;
        event->bytes_in += row->key.size + row->value.size + row->ts.size + 4;
    }
    return event->text_bytes <= 2 * event->bytes_in + 200 && event->bytes_in + count <= MAX_FEED;
}

static char *copy(char *to, Span text, char behind)
{
    memcpy(to, text.at, text.size);
    to[text.size] = behind;
    return to + text.size + 1;
}

/* Puts a sample into the batch: `["key",value,ts]` behind the feed, `[value,ts]` to those of its key. */
static bool put_row(State *self, Batch *batch, const Row *row)
{
    PyObject *values = PyDict_GetItemWithError(batch->keys, row->name);
    if (!values && !PyErr_Occurred() && (values = PyList_New(0))) {
        PyDict_SetItem(batch->keys, row->name, values);
        Py_DECREF(values); /* the dict has it, or there is an error */
    }
    char *to = self->feed + batch->feed_bytes + (batch->feed_bytes > 0);
    self->feed[batch->feed_bytes] = ',';
    *to = '[';
    char *body = copy(to + 1, row->key, '['), *end = copy(copy(body, row->value, ','), row->ts, ']');
    PyObject *sample = PyBytes_FromStringAndSize(body - 1, end - body + 1);
    body[-1] = ',';
    bool is_done = !PyErr_Occurred() && PyList_Append(values, sample) == 0;
    Py_XDECREF(sample);
    batch->feed_bytes = end - self->feed;
    batch->samples++;
    return is_done;
}

/* --- frames */

/* Where the payload of a whole, plain frame begins, its mask before it; NULL: Python reads on from here. */
static const unsigned char *plain_frame(const unsigned char *at, const unsigned char *end, Py_ssize_t *size)
{
    if (end - at < 6 || at[0] != 0x81 || at[1] < 0x80 || at[1] == 0xff)
        return NULL;
    const unsigned char *payload = at + 6;
    *size = at[1] & 0x7f;
    if (*size == 126) {
        *size = at[2] << 8 | at[3];
        payload += 2;
        if (*size < 126)
            return NULL;
    }
    return payload <= end && *size <= end - payload ? payload : NULL;
}

/* Returns whether all of it is ASCII. Writes a NUL behind it. */
static bool unmask(char *to, const unsigned char *payload, Py_ssize_t size)
{
    uint32_t mask;
    uint64_t word, all = 0;
    Py_ssize_t i = 0;
    memcpy(&mask, payload - 4, 4);
    for (; size - i >= 8; i += 8) {
        memcpy(&word, payload + i, 8);
        word ^= (uint64_t)mask << 32 | mask;
        all |= word;
        memcpy(to + i, &word, 8);
    }
    for (; i < size; i++) {
        to[i] = (char)(payload[i] ^ payload[i % 4 - 4]);
        all |= (unsigned char)to[i];
    }
    to[size] = 0;
    return (all & 0x8080808080808080u) == 0;
}

/* Puts the batch that is open, if there is one, behind the messages: `Updates(owner, keys, …)`. */
static bool close_batch(State *self, PyObject *found, PyObject *owner, const char *data, Py_ssize_t end)
{
    Batch batch = self->batch;
    self->batch = (Batch){0};
    if (!batch.keys)
        return true;
    PyObject *fields = Py_BuildValue("((ONy#NnnnnLOy#))", owner, batch.keys, self->feed, batch.feed_bytes, batch.acks,
                                     batch.events, batch.samples, batch.bytes_in, batch.text_bytes, batch.first_seq,
                                     self->now_text ? self->now_text : Py_None, data + batch.start, end - batch.start);
    PyObject *made = fields ? self->new_tuple(self->updates, fields, NULL) : NULL;
    bool is_done = made && PyList_Append(found, made) == 0;
    Py_XDECREF(fields);
    Py_XDECREF(made);
    return is_done;
}

/* Opens one, unless the event continues that which is open. */
static bool open_batch(State *self, Event *event, PyObject *found, PyObject *owner, const char *data, Py_ssize_t start)
{
    Batch *batch = &self->batch;
    if (batch->keys && batch->events < MAX_BATCH && batch->samples + event->count <= MAX_ROWS &&
        batch->feed_bytes + event->bytes_in + event->count <= MAX_FEED && batch->next_seq == event->seq)
        return true;
    if (!close_batch(self, found, owner, data, start))
        return false;
    *batch = (Batch){PyDict_New(), PyList_New(0), .start = start, .first_seq = event->seq};
    return batch->keys && batch->acks;
}

/* Takes the event of the present frame; -1: an error, 0: it is unusual. */
static int take_event(State *self, Event *event, PyObject *found, PyObject *owner, const char *data, Py_ssize_t start)
{
    if (!scan_event(event))
        return 0;
    Batch *batch = &self->batch;
    bool is_plain = complete_rows(self, event);
    bool is_done = is_plain && open_batch(self, event, found, owner, data, start);
    for (Py_ssize_t i = 0; i < event->count; i++) {
        is_done = is_done && put_row(self, batch, &event->rows[i]);
        Py_DECREF(event->rows[i].name);
    }
    if (!is_plain)
        return PyErr_Occurred() ? -1 : 0;
    batch->events++;
    batch->bytes_in += event->bytes_in;
    batch->text_bytes += event->text_bytes;
    batch->next_seq = event->seq ? event->seq + 1 : 0;
    PyObject *ack = is_done && event->ack >= 0 ? Py_BuildValue("(Ln)", event->ack, batch->samples) : NULL;
    is_done = is_done && (event->ack < 0 || (ack && PyList_Append(batch->acks, ack) == 0));
    Py_XDECREF(ack);
    return is_done ? 1 : -1;
}

/* Reads frame by frame; returns where it stopped, -1: an error. */
static Py_ssize_t read_frames(State *self, PyObject *found, PyObject *owner, Span id, PyObject *data)
{
    Span all;
    Py_ssize_t size, place = 0;
    if (!see(data, &all))
        return -1;
    const unsigned char *start = (const unsigned char *)all.at, *payload;
    while ((payload = plain_frame(start + place, start + all.size, &size)) && size <= self->max_bytes) {
        PyObject *text = NULL;
        if (!unmask(self->text, payload, size) && !(text = PyUnicode_DecodeUTF8(self->text, size, "strict"))) {
            PyErr_Clear(); /* Python says so */
            break;
        }
        Event event = {.at = self->text, .end = self->text + size, .out = self->out, .id = id, .rows = self->rows,
                       .max_value_bytes = self->max_value_bytes, .ack = -1};
        int taken = id.size ? take_event(self, &event, found, owner, all.at, place) : 0;
        if (!taken) {
            text = text ? text : PyUnicode_DecodeUTF8(self->text, size, "strict");
            bool is_put = text && close_batch(self, found, owner, all.at, place) && PyList_Append(found, text) == 0;
            taken = is_put ? 1 : -1;
        }
        Py_XDECREF(text);
        if (taken < 0)
            return -1;
        place = payload + size - start;
    }
    return close_batch(self, found, owner, all.at, place) ? place : -1;
}

static PyObject *reader_read(PyObject *module, PyObject *args)
{
    State *self = PyModule_GetState(module);
    PyObject *data, *origin, *owner = Py_None, *id_json = NULL;
    Span id = {NULL, 0};
    if (self->is_reading) /* by an error of ours, out of one of the callables: Python does it all */
        return Py_BuildValue("([]i)", 0);
    if (!PyArg_ParseTuple(args, "SO(nnOOO!)", &data, &origin, &self->max_bytes, &self->max_value_bytes, &self->now,
                          &self->head, &PyType_Type, &self->updates))
        return NULL;
    if (origin != Py_None && (!PyArg_ParseTuple(origin, "OS", &owner, &id_json) || !see(id_json, &id)))
        return NULL;
    PyObject *found = PyList_New(0);
    self->is_reading = true;
    Py_ssize_t place = found ? read_frames(self, found, owner, id, data) : -1;
    Py_CLEAR(self->batch.keys);
    Py_CLEAR(self->batch.acks);
    Py_CLEAR(self->now_text);
    self->is_reading = false;
    if (place < 0)
        Py_CLEAR(found);
    return found ? Py_BuildValue("(Nn)", found, place) : NULL;
}

static int reader_exec(PyObject *module)
{
    ((State *)PyModule_GetState(module))->new_tuple = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    return PyModule_AddIntMacro(module, INTERFACE);
}

static void reader_free(void *module)
{
    State *self = PyModule_GetState(module);
    for (int i = 0; self && i < KEYS; i++)
        Py_CLEAR(self->keys[i]);
}

static PyMethodDef functions[] = {{"read", reader_read, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, reader_exec}, {0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "service.native.reader", .m_size = sizeof(State),
                                 .m_methods = functions, .m_slots = slots, .m_free = reader_free};

PyMODINIT_FUNC PyInit_reader(void)
{
    return PyModuleDef_Init(&definition);
}
