package secrets

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The editor of a .sops.yaml changes bytes and never writes the whole anew, so
// that comments, order and style stay. What comes out is read again, and is
// given only if it says of every rule what it should.

// EditError says that a .sops.yaml is written in a way that is not edited here.
type EditError struct {
	Line int
	Want string // what is to be done by hand
}

func (e *EditError) Error() string {
	return fmt.Sprintf("line %d of .sops.yaml is written in a way that fleet does not edit: %s by hand", e.Line, e.Want)
}

// Replace puts another public key in the place of one, wherever that stands.
func (r *Rules) Replace(old, public string) (*Rules, error) {
	old = NormalizeRecipient(old)
	want := "replace " + old + " with " + public
	if _, err := parseRecipient(public); err != nil {
		return nil, err
	}
	var edits []edit
	for _, s := range r.spots() {
		if !s.names(old) {
			continue
		}
		places, ok := s.keys(r.source)
		if !ok {
			return nil, &EditError{s.node.Line, want}
		}
		for i, key := range splitKeys(s.node.Value) {
			if NormalizeRecipient(key) == old {
				edits = append(edits, edit{places[i], public})
			}
		}
	}
	return r.edited(edits, want, func(g RuleGroup) []string {
		if g.has(old) {
			return append(g.without(old), public)
		}
		return g.Age
	})
}

// AddBeside adds a public key wherever another stands, with an anchor and
// aliases where that has them.
func (r *Rules) AddBeside(other, public string) (*Rules, error) {
	other, public = NormalizeRecipient(other), NormalizeRecipient(public)
	want := "add " + public + " beside " + other
	if _, err := parseRecipient(public); err != nil {
		return nil, err
	}
	if r.Has(public) || !r.Has(other) {
		return r, nil
	}
	var edits []edit
	spots := r.spots()
	names := map[*yaml.Node]string{} // list items with an anchor → the new anchor
	for _, s := range spots {
		if !s.names(other) {
			continue
		}
		places, ok := s.keys(r.source)
		if !ok {
			return nil, &EditError{s.node.Line, want}
		}
		if s.parent.Kind != yaml.SequenceNode || len(places) > 1 {
			edits = append(edits, s.addToText(r.source, places, other, public))
			continue
		}
		text := public
		if s.node.Anchor != "" {
			names[s.node] = r.freeAnchor(s.node.Anchor)
			text = "&" + names[s.node] + " " + public
		}
		add, ok := s.addItem(r.source, text)
		if !ok {
			return nil, &EditError{s.node.Line, want}
		}
		edits = append(edits, add)
	}
	for _, s := range spots {
		if s.node.Kind != yaml.AliasNode || names[s.node.Alias] == "" {
			continue
		}
		add, ok := s.addItem(r.source, "*"+names[s.node.Alias])
		if !ok || s.parent.Kind != yaml.SequenceNode {
			return nil, &EditError{s.node.Line, want}
		}
		edits = append(edits, add)
	}
	return r.edited(edits, want, func(g RuleGroup) []string {
		if g.has(other) {
			return append(slices.Clone(g.Age), public)
		}
		return g.Age
	})
}

// Remove takes a public key out, with its anchor and aliases. It stays in the
// rules in which it is the only key, which are given as well: they would encrypt
// to nobody.
func (r *Rules) Remove(public string) (*Rules, []Rule, error) {
	public = NormalizeRecipient(public)
	want := "remove " + public
	rest := r
	for range r.spots() { // one at a time, so that offsets hold; there are only a few
		cut, err := rest.removeOne(public, want)
		if err != nil {
			return nil, nil, err
		}
		if cut == nil {
			break
		}
		if rest, err = ParseRules(splice(rest.source, []edit{*cut})); err != nil {
			return nil, nil, fmt.Errorf(".sops.yaml could not be edited: %s by hand: %w", want, err)
		}
	}
	if bytes.Equal(rest.source, r.source) {
		rest = r
	}
	kept, _ := rest.only(public)
	err := r.compare(rest, want, func(g RuleGroup) []string {
		if g.only(public) {
			return g.Age
		}
		return g.without(public)
	})
	return rest, kept, err
}

// removeOne finds the next text that is to go; nil if there is none.
func (r *Rules) removeOne(public, want string) (*edit, error) {
	_, protected := r.only(public)
	spots := r.spots()
	// Aliases go before what they stand for.
	for _, s := range spots {
		if s.node.Kind == yaml.AliasNode && !protected[s.node] && s.node.Alias.Kind == yaml.ScalarNode && isJust(s.node.Alias, public) {
			return s.remove(r.source, want)
		}
	}
	for _, s := range spots {
		switch {
		case !s.names(public) || protected[s.node]:
		case isJust(s.node, public):
			return s.remove(r.source, want)
		default:
			return s.removeFromText(r.source, public, want)
		}
	}
	return nil, nil
}

// isJust tells whether a scalar holds this key and no other.
func isJust(node *yaml.Node, public string) bool {
	keys := splitKeys(node.Value)
	return len(keys) == 1 && NormalizeRecipient(keys[0]) == public
}

// only gives the rules with a group that has no other key than this, and all
// nodes that they are made from.
func (r *Rules) only(public string) ([]Rule, map[*yaml.Node]bool) {
	var rules []Rule
	protected := map[*yaml.Node]bool{}
	var protect func(node *yaml.Node)
	protect = func(node *yaml.Node) {
		if node == nil || protected[node] {
			return
		}
		protected[node] = true
		protect(node.Alias)
		for _, child := range node.Content {
			protect(child)
		}
	}
	creation, recreation := r.ruleNodes()
	for i, list := range [][]Rule{r.rules, r.recreation} {
		nodes := [][]*yaml.Node{creation, recreation}[i]
		for j, rule := range list {
			if !slices.ContainsFunc(rule.Groups, func(g RuleGroup) bool { return g.only(public) }) {
				continue
			}
			rules = append(rules, rule)
			if j < len(nodes) {
				protect(nodes[j])
			}
		}
	}
	return rules, protected
}

// only tells whether this is the one key of the group, be it written twice.
func (g RuleGroup) only(public string) bool {
	return len(g.Other) == 0 && len(g.Age) > 0 && SameRecipients(g.Age, []string{public})
}

func (g RuleGroup) has(public string) bool {
	return slices.Contains(normalizeRecipients(g.Age), public)
}

func (g RuleGroup) without(public string) []string {
	return slices.DeleteFunc(normalizeRecipients(g.Age), func(key string) bool { return key == public })
}

// edit puts text in the place of a stretch.
type edit struct {
	stretch
	text string
}

// addItem adds an item to a list after this one, in the style of the list.
func (s spot) addItem(source []byte, text string) (edit, bool) {
	item, ok := s.whole(source)
	if !ok {
		return edit{}, false
	}
	if s.parent.Style&yaml.FlowStyle != 0 {
		return edit{stretch{item.end, item.end}, ", " + text}, true
	}
	line, ok := s.line(source, item)
	if !ok {
		return edit{}, false
	}
	indent := string(source[line.start:item.start])
	switch {
	case source[line.end-1] != '\n':
		return edit{stretch{line.end, line.end}, "\n" + indent + text}, true
	case bytes.HasSuffix(source[:line.end], []byte("\r\n")):
		return edit{stretch{line.end, line.end}, indent + text + "\r\n"}, true
	}
	return edit{stretch{line.end, line.end}, indent + text + "\n"}, true
}

// addToText adds a key after another of a text, with what stands between keys
// there.
func (s spot) addToText(source []byte, places []stretch, other, public string) edit {
	separator := ","
	if len(places) > 1 {
		separator = string(source[places[0].end:places[1].start])
	}
	i := slices.IndexFunc(splitKeys(s.node.Value), func(key string) bool { return NormalizeRecipient(key) == other })
	return edit{stretch{places[i].end, places[i].end}, separator + public}
}

// remove takes an item out of its list, or a line out of its mapping.
func (s spot) remove(source []byte, want string) (*edit, error) {
	refused := &EditError{s.node.Line, want}
	item, ok := s.whole(source)
	if !ok {
		return nil, refused
	}
	switch flow := s.parent.Style&yaml.FlowStyle != 0; {
	case s.parent.Kind == yaml.SequenceNode && flow:
		return &edit{stretch: s.withComma(source, item)}, nil
	case s.parent.Kind == yaml.SequenceNode:
		line, ok := s.line(source, item)
		if !ok {
			return nil, refused
		}
		return &edit{stretch: lastLine(source, line)}, nil
	case s.parent.Kind == yaml.MappingNode && !flow:
		i := slices.Index(s.parent.Content, s.node)
		name := s.parent.Content[i-1]
		start := bytes.LastIndexByte(source[:item.start], '\n') + 1
		before := strings.TrimSpace(string(source[start:item.start]))
		if before != name.Value+":" {
			return nil, refused
		}
		end := len(source)
		if i := bytes.IndexByte(source[item.end:], '\n'); i >= 0 {
			end = item.end + i + 1
		}
		return &edit{stretch: lastLine(source, stretch{start, end})}, nil
	}
	return nil, refused
}

// lastLine takes the line break before a line that has none of its own.
func lastLine(source []byte, line stretch) stretch {
	if line.start > 0 && source[line.end-1] != '\n' {
		line.start = len(bytes.TrimSuffix(source[:line.start-1], []byte("\r")))
	}
	return line
}

// withComma is an item of a list in brackets with the comma before it, or that
// after it if it is the first.
func (s spot) withComma(source []byte, item stretch) stretch {
	before := bytes.TrimRight(source[:item.start], " \t\r\n")
	if bytes.HasSuffix(before, []byte(",")) {
		return stretch{len(before) - 1, item.end}
	}
	after := bytes.TrimLeft(source[item.end:], " \t\r\n")
	if bytes.HasPrefix(after, []byte(",")) {
		after = bytes.TrimLeft(after[1:], " \t\r\n")
		item.end = len(source) - len(after)
	}
	return item
}

// removeFromText takes a key out of a text with several.
func (s spot) removeFromText(source []byte, public, want string) (*edit, error) {
	places, ok := s.keys(source)
	if !ok {
		return nil, &EditError{s.node.Line, want}
	}
	i := slices.IndexFunc(splitKeys(s.node.Value), func(key string) bool { return NormalizeRecipient(key) == public })
	if i > 0 {
		return &edit{stretch: stretch{places[i-1].end, places[i].end}}, nil
	}
	return &edit{stretch: stretch{places[0].start, places[1].start}}, nil
}

// edited makes the edits and checks what comes out.
func (r *Rules) edited(edits []edit, want string, expect func(RuleGroup) []string) (*Rules, error) {
	if len(edits) == 0 {
		return r, nil
	}
	done, err := ParseRules(splice(r.source, edits))
	if err != nil {
		return nil, fmt.Errorf(".sops.yaml could not be edited: %s by hand: %w", want, err)
	}
	if err := r.compare(done, want, expect); err != nil {
		return nil, err
	}
	return done, nil
}

// compare holds an edited file against this one: every group of every rule has
// the age keys that are expected of it, and all else is as it was.
func (r *Rules) compare(done *Rules, want string, expect func(RuleGroup) []string) error {
	sameGroup := func(before, after RuleGroup) bool {
		return SameRecipients(expect(before), after.Age) && slices.Equal(before.Other, after.Other)
	}
	sameRule := func(before, after Rule) bool {
		return before.Pattern == after.Pattern && slices.EqualFunc(before.Groups, after.Groups, sameGroup)
	}
	if slices.EqualFunc(r.rules, done.rules, sameRule) && slices.EqualFunc(r.recreation, done.recreation, sameRule) {
		return nil
	}
	return errors.New(".sops.yaml is written in a way that fleet does not edit: " + want + " by hand")
}

func splice(source []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		if e.start < at {
			continue // they overlap; the check of the result tells
		}
		out.Write(source[at:e.start])
		out.WriteString(e.text)
		at = e.end
	}
	out.Write(source[at:])
	return out.Bytes()
}

// freeAnchor makes a name for a second key beside one.
func (r *Rules) freeAnchor(name string) string {
	for n := 2; ; n++ {
		free := fmt.Sprintf("%s-%d", name, n)
		if !bytes.Contains(r.source, []byte(free)) {
			return free
		}
	}
}
