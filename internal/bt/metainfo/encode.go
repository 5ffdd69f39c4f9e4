package metainfo

import (
	"bytes"
	"maps"
	"slices"

	"shoal/internal/bt/bencode"
)

// Encode writes the metafile with sorted keys. Keys that Parse read and that
// were not changed since keep their value, unknown ones too, so that a canonical
// metafile encodes to what it was. The info dictionary is always the raw one.
func (m *Metafile) Encode() []byte {
	values := map[string][]byte{}
	for _, f := range m.original {
		values[f.key] = f.value.AppendCanonical(nil)
	}
	values["info"] = m.Info.Raw
	m.encodeChanged(values)
	m.encodeLayers(values)
	size := 2
	for k, v := range values {
		size += len(k) + len(v) + 8
	}
	out := append(make([]byte, 0, size), 'd')
	for _, key := range slices.Sorted(maps.Keys(values)) {
		out = bencode.AppendString(out, key)
		out = append(out, values[key]...)
	}
	return append(out, 'e')
}

// encodeChanged puts those fields into values that are no longer what was read.
func (m *Metafile) encodeChanged(values map[string][]byte) {
	was := Metafile{Info: m.Info, original: m.original}
	was.readRest()
	text := func(key, now, then string) {
		if now != then {
			set(values, key, now != "", bencode.AppendString(nil, now))
		}
	}
	text("comment", m.Comment, was.Comment)
	text("created by", m.CreatedBy, was.CreatedBy)
	if !m.CreationDate.Equal(was.CreationDate) {
		set(values, "creation date", !m.CreationDate.IsZero(), bencode.AppendInt(nil, m.CreationDate.Unix()))
	}
	if !slices.EqualFunc(m.Announce, was.Announce, slices.Equal) {
		m.encodeTrackers(values)
	}
	if !slices.Equal(m.WebSeeds, was.WebSeeds) {
		set(values, "url-list", len(m.WebSeeds) > 0, bencode.AppendStrings(nil, m.WebSeeds))
	}
	if !slices.Equal(m.Nodes, was.Nodes) {
		set(values, "nodes", len(m.Nodes) > 0, encodeNodes(m.Nodes))
	}
}

func set(values map[string][]byte, key string, present bool, value []byte) {
	if present {
		values[key] = value
	} else {
		delete(values, key)
	}
}

// encodeTrackers writes announce for every client, and announce-list where one
// URL does not say all.
func (m *Metafile) encodeTrackers(values map[string][]byte) {
	first, n := "", 0
	list := []byte{'l'}
	for _, tier := range m.Announce {
		if len(tier) == 0 {
			continue
		}
		if n == 0 {
			first = tier[0]
		}
		list = bencode.AppendStrings(list, tier)
		n += len(tier)
	}
	set(values, "announce", n > 0, bencode.AppendString(nil, first))
	set(values, "announce-list", n > 1, append(list, 'e'))
}

// encodeNodes writes host:port strings as pairs. What is no such string cannot
// be written and is left out.
func encodeNodes(nodes []string) []byte {
	list := []byte{'l'}
	for _, node := range nodes {
		host, port, err := splitHostPort(node)
		if err != nil {
			continue
		}
		list = append(list, 'l')
		list = bencode.AppendString(list, host)
		list = bencode.AppendInt(list, int64(port))
		list = append(list, 'e')
	}
	return append(list, 'e')
}

// encodeLayers writes the piece layers if they are not those that were read.
func (m *Metafile) encodeLayers(values map[string][]byte) {
	if !m.Info.HasV2() {
		return
	}
	was := Metafile{Info: m.Info, original: m.original}
	same := was.readLayers(was.get("piece layers")) == nil && maps.EqualFunc(m.Layers, was.Layers, bytes.Equal)
	if same && len(m.original) > 0 {
		return
	}
	roots := slices.SortedFunc(maps.Keys(m.Layers), func(a, b [hashSize]byte) int { return bytes.Compare(a[:], b[:]) })
	dict := []byte{'d'}
	for _, root := range roots {
		dict = bencode.AppendString(dict, root[:])
		dict = bencode.AppendString(dict, m.Layers[root])
	}
	values["piece layers"] = append(dict, 'e')
}
