package secrets

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/getsops/sops/v3/config"
	"go.yaml.in/yaml/v3"
)

// Rules is a .sops.yaml: which keys the sops files below its folder are
// encrypted to. It is read as the sops program reads it, and keeps every byte of
// its source. Use [ParseRules] to make one; it does not change.
type Rules struct {
	source []byte
	doc    *yaml.Node // nil for an empty file
	rules  []Rule
	// recreation are the rules under destination_rules: their keys are edited
	// with the others, but they encrypt no file of the repository.
	recreation []Rule
	anchors    []Anchor
	stores     config.StoresConfig
}

// Rule is one entry of creation_rules.
type Rule struct {
	// Line is where it begins, counted from 1.
	Line int
	// Pattern is matched against the path of a file below the folder of the
	// .sops.yaml, anywhere in it. An empty one fits every file.
	Pattern string
	// Groups are the keys; each group holds a part of the data key. Without
	// key_groups there is one.
	Groups []RuleGroup

	fits *regexp.Regexp // nil for an empty pattern
	err  error          // what sops refuses about it
}

// RuleGroup is one group of keys as they are written.
type RuleGroup struct {
	Age []string
	// Other are PGP and cloud keys, in sops' own spelling.
	Other []string
}

// Anchor is a public key that has a name: `- &name age1…`.
type Anchor struct {
	Name, Key string
	Line      int
	// Section numbers runs of list items that stand line by line, without a
	// blank line or a comment between them.
	Section int
}

// ErrNoRule says that no rule of a .sops.yaml fits a file.
const ErrNoRule = constError("no rule of .sops.yaml fits it")

// ParseRules reads a .sops.yaml. An error of a single rule is given by
// [Rules.For], as with sops.
func ParseRules(data []byte) (*Rules, error) {
	r := &Rules{source: data}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, yamlError(err)
	}
	file := rulesFile{Stores: *config.NewStoresConfig()}
	if doc.Kind != 0 {
		r.doc = &doc
		// Decoding also refuses anchors that contain or multiply themselves.
		if err := doc.Decode(&file); err != nil {
			return nil, yamlError(err)
		}
	}
	r.stores = file.Stores
	nodes, _ := r.ruleNodes()
	for i := range file.CreationRules {
		rule := file.CreationRules[i].rule()
		if i < len(nodes) {
			rule.Line = nodes[i].Line
		}
		r.rules = append(r.rules, rule)
	}
	for _, destination := range file.DestinationRules {
		r.recreation = append(r.recreation, destination.RecreationRule.rule())
	}
	r.findAnchors()
	return r, nil
}

// yamlError takes the name of the library out of its message.
func yamlError(err error) error {
	return errors.New("it is not the YAML that sops reads: " + strings.TrimPrefix(err.Error(), "yaml: "))
}

// Bytes is the source.
func (r *Rules) Bytes() []byte { return r.source }

// For gives the rule for a file: the first that fits. The path is relative to
// the folder of the .sops.yaml, with slashes. [ErrNoRule] says that there is
// none; every other error is one that sops gives as well.
func (r *Rules) For(path string) (*Rule, error) {
	for i := range r.rules {
		rule := &r.rules[i]
		if rule.Pattern != "" && rule.fits == nil { // sops stops here as well
			return nil, fmt.Errorf("the rule in line %d of .sops.yaml cannot be used: %w", rule.Line, rule.err)
		}
		if rule.fits != nil && !rule.fits.MatchString(path) {
			continue
		}
		if rule.err != nil {
			return nil, fmt.Errorf("the rule in line %d of .sops.yaml cannot be used: %w", rule.Line, rule.err)
		}
		return rule, nil
	}
	return nil, ErrNoRule
}

// Recipients are the age public keys of the rule, as they are written.
func (r *Rule) Recipients() []string {
	var all []string
	for _, group := range r.Groups {
		all = append(all, group.Age...)
	}
	return all
}

// Others are its PGP and cloud keys.
func (r *Rule) Others() []string {
	var all []string
	for _, group := range r.Groups {
		all = append(all, group.Other...)
	}
	return all
}

// neutral are names that no rule meant for secrets fits, unless it is meant for
// whatever is given to sops.
var neutral = []string{"q", "q.yaml", "q.yml", "q.json", "q.env", "q.ini", "q.txt", "q/q.yaml", "q/q.json", "q/q"}

// General tells whether the rule fits files of any name or of a common suffix,
// so that fitting it does not mean that a file is to be encrypted.
func (r *Rule) General() bool {
	return r.fits == nil || slices.ContainsFunc(neutral, r.fits.MatchString)
}

// Anchors are the public keys that have names, in the order of the file.
func (r *Rules) Anchors() []Anchor { return r.anchors }

// Has tells whether a public key stands anywhere in the file.
func (r *Rules) Has(key string) bool {
	return slices.ContainsFunc(r.spots(), func(s spot) bool { return s.names(NormalizeRecipient(key)) })
}

func (r *Rules) findAnchors() {
	section, lastLine := 0, 0
	var lastParent *yaml.Node
	for _, s := range r.spots() {
		if s.node.Kind != yaml.ScalarNode || s.node.Anchor == "" {
			continue
		}
		keys := splitKeys(s.node.Value)
		if len(keys) != 1 {
			continue
		}
		if _, err := parseRecipient(keys[0]); err != nil {
			continue
		}
		if s.parent != lastParent || s.node.Line != lastLine+1 {
			section++
		}
		lastParent, lastLine = s.parent, s.node.Line
		r.anchors = append(r.anchors, Anchor{Name: s.node.Anchor, Key: NormalizeRecipient(keys[0]), Line: s.node.Line, Section: section})
	}
}

// ruleNodes are the nodes of the rules in creation_rules and destination_rules.
func (r *Rules) ruleNodes() (creation, recreation []*yaml.Node) {
	if r.doc == nil {
		return nil, nil
	}
	creation = entries(field(r.doc.Content[0], "creation_rules"))
	for _, destination := range entries(field(r.doc.Content[0], "destination_rules")) {
		recreation = append(recreation, field(destination, "recreation_rule"))
	}
	return creation, recreation
}

// field gives a value of a mapping; nil if there is none.
func field(node *yaml.Node, name string) *yaml.Node {
	if node = resolved(node); node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

// entries are those of a list.
func entries(node *yaml.Node) []*yaml.Node {
	if node = resolved(node); node == nil || node.Kind != yaml.SequenceNode {
		return nil
	}
	return node.Content
}

func resolved(node *yaml.Node) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}
