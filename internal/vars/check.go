package vars

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// Finding is something that is wrong with a value or a key.
type Finding struct {
	// Machines are concerned: one, or all selected that share the value.
	Machines []string `json:"machines"`
	// Value is machine/generator/file; empty for a finding about a key.
	Value   string `json:"value,omitempty"`
	Problem string `json:"problem"`
	// Mend is a command, or what else is to be done.
	Mend string `json:"mend"`
}

func (f Finding) String() string {
	what := f.Value
	if what == "" {
		what = strings.Join(f.Machines, ", ")
	}
	return fmt.Sprintf("%s: %s; %s", what, f.Problem, f.Mend)
}

// Check looks at every value of the selected machines: that it is there, is up
// to date, can be read by exactly those who should, and opens with the keys at
// hand. Without a fitting key the last is left out. The error is about looking.
func (f *Fleet) Check(ctx context.Context) ([]Finding, error) {
	g, err := NewGraph(f.Machines)
	if err != nil {
		return nil, err
	}
	people, err := f.readers()
	if err != nil {
		return nil, err
	}
	findings := []Finding{}
	for _, machine := range sorted(f.Machines) {
		findings = append(findings, f.checkKey(ctx, g, people, machine)...)
	}
	for _, id := range g.order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := f.checkGenerator(ctx, g.nodes[id], people)
		if err != nil {
			return nil, err
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

func (f *Fleet) checkKey(ctx context.Context, g *Graph, people *readers, machine string) []Finding {
	finding := Finding{Machines: []string{machine}}
	if _, ok := people.machines[machine]; !ok {
		if !slices.ContainsFunc(g.order, func(id ID) bool { return g.nodes[id].deploysTo(machine) }) {
			return nil
		}
		finding.Problem, finding.Mend = "it has no key", "run `fleet vars generate "+machine+"`"
		return []Finding{finding}
	}
	_, err := f.Layout.Read(secrets.KeyRef(machine))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it brought its own
	}
	if err == nil {
		_, err = secrets.MachinePrivateKey(ctx, f.Layout, machine, f.Identities)
	}
	if err != nil && !noKeyAtHand(err) {
		finding.Problem, finding.Mend = err.Error(), f.restoreKeys(machine)
		return []Finding{finding}
	}
	a, err := people.auditKey(machine)
	if err != nil {
		finding.Problem, finding.Mend = "who is to read its private key cannot be told: "+err.Error(), mendAudit(err)
		return []Finding{finding}
	}
	var findings []Finding
	finding.Mend = "run `fleet vars fix " + machine + "`"
	if len(a.Lacks) > 0 {
		finding.Problem = "its private key cannot be read by " + strings.Join(a.Lacks, ", ")
		findings = append(findings, finding)
	}
	if len(a.Extra) > 0 {
		finding.Problem = "its private key can also be read by " + strings.Join(a.Extra, ", ")
		findings = append(findings, finding)
	}
	if len(a.Links) > 0 && len(a.Lacks)+len(a.Extra) == 0 {
		finding.Problem = "the links beside its private key do not say who can read it: " + linkNames(a.Links)
		findings = append(findings, finding)
	}
	return findings
}

// mendAudit says what helps where readers cannot be compared with whom there
// should be.
func mendAudit(err error) string {
	var nobody *secrets.NoRecipientsError
	if errors.As(err, &nobody) {
		return "then run `fleet vars fix`"
	}
	return "restore it from git"
}

// restoreKeys says how two halves of a key come to fit again.
func (f *Fleet) restoreKeys(machine string) string {
	public, _ := f.Layout.MachineKeyPath(machine)
	private, _ := f.Layout.Path(secrets.KeyRef(machine))
	return "restore " + public + " and " + private + " from one commit"
}

// linkNames tells which links are missing and which are too many.
func linkNames(links []repository.File) string {
	var names []string
	for _, link := range links {
		what := "missing "
		if link.Gone {
			what = "too many "
		}
		names = append(names, what+link.Path)
	}
	return strings.Join(names, ", ")
}

func (f *Fleet) checkGenerator(ctx context.Context, n *Node, people *readers) (findings []Finding, err error) {
	add := func(file, problem, mend string) {
		findings = append(findings, Finding{Machines: n.Machines, Value: n.ref(file).String(), Problem: problem, Mend: mend})
	}
	generate := generateCommand(n.Machines)
	hash, err := f.Layout.Hash(n.Machine, n.Name)
	if err != nil {
		return nil, err
	}
	outdated := n.Def.ValidationHash != "" && hash != n.Def.ValidationHash
	for _, file := range sorted(n.Def.Files) {
		ref := n.ref(file)
		exists, err := f.Layout.Exists(ref)
		if err != nil {
			return nil, err
		}
		if !exists {
			add(file, "it has no value", "run `"+generate+"`")
			continue
		}
		if outdated {
			add(file, "what it is made from (its validation) has changed", "run `"+generate+" --regenerate "+n.Name+"`")
		}
		if !ref.Secret {
			if sealed, err := f.sealed(ref); err != nil {
				return nil, err
			} else if sealed {
				add(file, "it is declared as public, and what lies there is encrypted", "restore it from git, or run `"+generate+" --regenerate "+n.Name+"`")
			}
			continue
		}
		a, err := people.audit(n, file)
		if secrets.NotEncrypted(err) {
			add(file, err.Error()+", so it may lie there in plain", "restore it from git; if it is the secret itself, everybody who has the repository knows it: run `"+generate+" --regenerate "+n.Name+"`")
			continue
		}
		if err != nil {
			add(file, err.Error(), mendAudit(err))
			continue
		}
		if len(a.Lacks) > 0 {
			add(file, "it cannot be read by "+strings.Join(a.Lacks, ", "), "run `"+generate+"`")
		}
		if len(a.Extra) > 0 {
			add(file, "it can also be read by "+strings.Join(a.Extra, ", "), "run `fleet vars fix`; if they should not know it, run `"+generate+" --regenerate "+n.Name+"`")
		}
		if len(a.Links) > 0 && len(a.Lacks)+len(a.Extra) == 0 {
			add(file, "the links beside it do not say who can read it: "+linkNames(a.Links), "run `fleet vars fix`")
		}
		if _, err := secrets.Open(ctx, f.Layout, ref, f.Identities); err != nil && !noKeyAtHand(err) {
			add(file, err.Error(), "restore it from git")
		}
	}
	return findings, nil
}

// sealed tells whether a sops file lies where a public value belongs.
func (f *Fleet) sealed(ref secrets.Ref) (bool, error) {
	data, err := f.Layout.Read(ref)
	if err != nil {
		return false, err
	}
	_, err = secrets.EnvelopeRecipients(data)
	var other *secrets.UnsupportedError
	return err == nil || errors.As(err, &other), nil
}

// noKeyAtHand tells that an envelope may be fine and is for others.
func noKeyAtHand(err error) bool {
	var noMatch *secrets.NoMatchError
	return errors.As(err, &noMatch) || errors.Is(err, secrets.ErrNoIdentity)
}
