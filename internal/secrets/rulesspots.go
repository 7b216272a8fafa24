package secrets

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// spot is a scalar or an alias of a .sops.yaml, with where it stands.
type spot struct {
	node   *yaml.Node
	parent *yaml.Node
	// start is the offset of its first byte, that of an anchor if it has one. It
	// ends before end, where the next node starts.
	start, end int
}

// spots are all scalars and aliases that are no keys of mappings, in the order
// of the source.
func (r *Rules) spots() []spot {
	if r.doc == nil {
		return nil
	}
	lines := lineStarts(r.source)
	var found []spot
	var starts []int // of all nodes
	var walk func(node, parent *yaml.Node, isKey bool)
	walk = func(node, parent *yaml.Node, isKey bool) {
		start := offset(r.source, lines, node)
		starts = append(starts, start)
		if !isKey && (node.Kind == yaml.ScalarNode || node.Kind == yaml.AliasNode) {
			found = append(found, spot{node: node, parent: parent, start: start})
		}
		for i, child := range node.Content { // an alias has none
			walk(child, node, node.Kind == yaml.MappingNode && i%2 == 0)
		}
	}
	walk(r.doc, nil, false)
	slices.Sort(starts)
	for i := range found {
		found[i].end = len(r.source)
		if next, _ := slices.BinarySearch(starts, found[i].start+1); next < len(starts) {
			found[i].end = starts[next]
		}
	}
	return found
}

// names tells whether the spot is a scalar with the key among its keys.
func (s spot) names(key string) bool {
	return s.node.Kind == yaml.ScalarNode && slices.ContainsFunc(splitKeys(s.node.Value), func(text string) bool {
		return NormalizeRecipient(text) == key
	})
}

// stretch is a part of the source.
type stretch struct{ start, end int }

// keys finds the keys of a scalar in the source; false if they are written in a
// way that hides them there, such as with escapes.
func (s spot) keys(source []byte) (places []stretch, ok bool) {
	at := s.start
	if s.node.Anchor != "" {
		at += len("&") + len(s.node.Anchor)
	}
	for _, key := range splitKeys(s.node.Value) {
		if at > s.end {
			return nil, false
		}
		i := bytes.Index(source[at:s.end], []byte(key))
		if i < 0 {
			return nil, false
		}
		places = append(places, stretch{at + i, at + i + len(key)})
		at += i + len(key)
	}
	return places, true
}

// whole is the text of an item of a list: an alias, or a scalar with one key.
func (s spot) whole(source []byte) (stretch, bool) {
	if s.node.Kind == yaml.AliasNode {
		end := s.start + len("*") + len(s.node.Value)
		return stretch{s.start, end}, end <= len(source) && string(source[s.start:end]) == "*"+s.node.Value
	}
	places, ok := s.keys(source)
	if !ok || len(places) != 1 {
		return stretch{}, false
	}
	end := places[0].end
	if s.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		if end == len(source) || source[end] != '\'' && source[end] != '"' {
			return stretch{}, false
		}
		end++
	}
	return stretch{s.start, end}, true
}

// line is the whole line of an item that stands alone in its own, after a dash,
// with the line break before it if it is the last and has none of its own.
func (s spot) line(source []byte, item stretch) (stretch, bool) {
	start := bytes.LastIndexByte(source[:item.start], '\n') + 1
	end := len(source)
	if i := bytes.IndexByte(source[item.end:], '\n'); i >= 0 {
		end = item.end + i + 1
	}
	alone := strings.TrimLeft(string(source[start:item.start]), " \t")
	rest := strings.TrimLeft(string(source[item.end:end]), " \t\r")
	if strings.TrimRight(alone, " \t") != "-" || bytes.ContainsRune(source[item.start:item.end], '\n') {
		return stretch{}, false
	}
	if rest != "" && rest[0] != '\n' && rest[0] != '#' {
		return stretch{}, false
	}
	return stretch{start, end}, true
}

// lineStarts are the offsets where lines begin, as YAML counts lines.
func lineStarts(source []byte) []int {
	starts := []int{0}
	for i := 0; i < len(source); {
		r, size := utf8.DecodeRune(source[i:])
		if r == '\r' && i+1 < len(source) && source[i+1] == '\n' {
			size = 2
		}
		i += size
		if strings.ContainsRune("\r\n\u0085\u2028\u2029", r) {
			starts = append(starts, i)
		}
	}
	return starts
}

// offset turns the line and the column of a node, which counts characters, into
// an offset.
func offset(source []byte, lines []int, node *yaml.Node) int {
	if node.Line < 1 || node.Line > len(lines) {
		return len(source)
	}
	at := lines[node.Line-1]
	if at == 0 && bytes.HasPrefix(source, []byte("\ufeff")) {
		at += len("\ufeff")
	}
	for column := 1; column < node.Column && at < len(source); column++ {
		_, size := utf8.DecodeRune(source[at:])
		at += size
	}
	return at
}
