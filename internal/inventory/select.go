// Package inventory answers questions about a fleet's inventory: which machines
// a selection names, which roles and settings they have.
//
// A selection is an expression over machines, the same in every command:
//
//	web1          the machine of that name
//	web*          names by glob (path.Match)
//	tag:x         machines that carry tag x (globs work here too)
//	class:darwin  machines of a class
//	role:i/r      machines with role r in instance i (or in an instance of module i)
//	a & b, a | b, !a, (a | b) & c
//
// & binds tighter than |, ! tightest. A term that matches nothing is an error,
// so that a typing mistake cannot turn into "nothing to do".
package inventory

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// ErrEmpty says that a selection, though every part of it means something,
// leaves no machine.
var ErrEmpty = errors.New("selects no machine")

// noMatchError is a part of a selection that matches nothing, an ErrEmpty.
type noMatchError struct{ text string }

func (e noMatchError) Error() string { return e.text }
func (e noMatchError) Unwrap() error { return ErrEmpty }

// Select returns the names, sorted, of the machines that any of the expressions
// selects. No expression at all selects nothing and is an error: a caller that
// wants all machines says All. An error that is no ErrEmpty is about the
// expression itself, whatever the inventory has.
func Select(inv *flake.Inventory, exprs ...string) ([]string, error) {
	picked := set{}
	for _, expr := range exprs {
		node, err := parse(expr)
		if err != nil {
			return nil, fmt.Errorf("selection %q: %w", expr, err)
		}
		names, err := node.eval(inv)
		if _, alone := node.(term); err != nil && alone {
			return nil, err // it names the whole selection itself
		}
		if err != nil {
			return nil, fmt.Errorf("selection %q: %w", expr, err)
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("selection %q %w", expr, ErrEmpty)
		}
		maps.Copy(picked, names)
	}
	if len(picked) == 0 {
		return nil, noMatchError{"no selection: name machines, or say --all"}
	}
	return slices.Sorted(maps.Keys(picked)), nil
}

// Names are the machines that the expressions name if they do nothing else: what
// can be said of a selection before there is an inventory. Otherwise it is nil.
func Names(exprs []string) (names []string) {
	for _, expr := range exprs {
		node, _ := parse(expr)
		t, ok := node.(term)
		if !ok || strings.ContainsAny(t.text, `:*?[\`) {
			return nil
		}
		names = append(names, t.text)
	}
	return names
}

// All returns the names of all machines, sorted.
func All(inv *flake.Inventory) []string {
	return slices.Sorted(maps.Keys(inv.Machines))
}

type set map[string]bool

// node is one part of a parsed selection.
type node interface {
	eval(inv *flake.Inventory) (set, error)
}

type (
	term struct{ text string }
	not  struct{ of node }
	and  struct{ left, right node }
	or   struct{ left, right node }
)

func (n and) eval(inv *flake.Inventory) (set, error) {
	left, right, err := both(n.left, n.right, inv)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(left, func(name string, _ bool) bool { return !right[name] })
	return left, nil
}

func (n or) eval(inv *flake.Inventory) (set, error) {
	left, right, err := both(n.left, n.right, inv)
	if err != nil {
		return nil, err
	}
	maps.Copy(left, right)
	return left, nil
}

func (n not) eval(inv *flake.Inventory) (set, error) {
	of, err := n.of.eval(inv)
	if err != nil {
		return nil, err
	}
	return match(inv, func(m flake.Machine) bool { return !of[m.Name] }), nil
}

func both(left, right node, inv *flake.Inventory) (set, set, error) {
	l, err := left.eval(inv)
	if err != nil {
		return nil, nil, err
	}
	r, err := right.eval(inv)
	return l, r, err
}

func match(inv *flake.Inventory, keep func(flake.Machine) bool) set {
	names := set{}
	for name, machine := range inv.Machines {
		if keep(machine) {
			names[name] = true
		}
	}
	return names
}

func (t term) eval(inv *flake.Inventory) (set, error) {
	kind, rest, qualified := strings.Cut(t.text, ":")
	if !qualified {
		kind, rest = "", t.text
	}
	var names set
	var known []string
	switch kind {
	case "":
		names = match(inv, func(m flake.Machine) bool { return glob(rest, m.Name) })
		known = All(inv)
	case "tag":
		names = match(inv, func(m flake.Machine) bool {
			return slices.ContainsFunc(m.Tags, func(tag string) bool { return glob(rest, tag) })
		})
		known = Tags(inv)
	case "class":
		known = []string{string(flake.Darwin), string(flake.NixOS)}
		if !slices.Contains(known, rest) {
			return nil, fmt.Errorf("there is no class %q; the classes are %s", rest, strings.Join(known, ", "))
		}
		return match(inv, func(m flake.Machine) bool { return string(m.Class) == rest }), nil
	case "role":
		return roleMachines(inv, rest)
	default:
		return nil, fmt.Errorf("%q is not a kind of selection; the kinds are tag:, class: and role:", kind+":")
	}
	if len(names) > 0 {
		return names, nil
	}
	what := "machine"
	if kind == "tag" {
		what = "tag"
	}
	return nil, noMatchError{fmt.Sprintf("there is no %s %s%s", what, rest, flake.DidYouMean(rest, known))}
}

// roleMachines evaluates role:INSTANCE/ROLE, where INSTANCE may also be the
// name of the service module.
func roleMachines(inv *flake.Inventory, text string) (set, error) {
	instance, role, ok := strings.Cut(text, "/")
	if !ok {
		return nil, fmt.Errorf("role:%s wants an instance and a role, as in role:zerotier/peer", text)
	}
	names, known := set{}, []string{}
	for name, inst := range inv.Instances {
		for r, members := range inst.Roles {
			known = append(known, name+"/"+r)
			if (glob(instance, name) || glob(instance, inst.Module.Name)) && glob(role, r) {
				for m := range members.Machines {
					names[m] = true
				}
			}
		}
	}
	if len(names) == 0 {
		slices.Sort(known)
		return nil, noMatchError{fmt.Sprintf("no machine has role %s%s", text, flake.DidYouMean(text, known))}
	}
	return names, nil
}

// Tags lists every tag that some machine carries, sorted.
func Tags(inv *flake.Inventory) []string {
	tags := set{}
	for _, m := range inv.Machines {
		for _, t := range m.Tags {
			tags[t] = true
		}
	}
	return slices.Sorted(maps.Keys(tags))
}

// Terms lists the simplest selections: every machine, tag and class, and every
// role that a machine has.
func Terms(inv *flake.Inventory) []string {
	terms := All(inv)
	for _, tag := range Tags(inv) {
		terms = append(terms, "tag:"+tag)
	}
	for _, class := range []flake.Class{flake.Darwin, flake.NixOS} {
		if len(match(inv, func(m flake.Machine) bool { return m.Class == class })) > 0 {
			terms = append(terms, "class:"+string(class))
		}
	}
	for _, role := range Roles(inv) {
		if names, err := roleMachines(inv, role); err == nil && len(names) > 0 {
			terms = append(terms, "role:"+role)
		}
	}
	return terms
}

func glob(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
