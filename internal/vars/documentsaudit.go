package vars

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// auditDocuments looks at the sops files that are no values, and at what says
// who is to read them.
func (f *Fleet) auditDocuments(ctx context.Context, a *Audit, r *repository.Repository, survey *secrets.Survey) error {
	docs, err := f.documents(ctx, r)
	if err != nil {
		return err
	}
	people := &readers{fleet: f}
	if len(survey.Damaged) == 0 {
		if people, err = f.readers(); err != nil {
			return err
		}
	}
	people = docs.names(people)
	for _, file := range docs.rules {
		if file.err != nil {
			a.add(nil, file.path, file.err.Error(), "mend it: without it sops does nothing either")
			continue
		}
		if len(survey.Damaged) == 0 {
			if err := f.auditAnchors(a, file, people, survey); err != nil {
				return err
			}
		}
	}
	var lawless []string
	for _, d := range docs.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.governed == nil {
			lawless = append(lawless, d.path)
		}
		f.auditDocument(ctx, a, &d, people)
	}
	if len(lawless) > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("no .sops.yaml says who is to read the sops files that are no values (%s)", abbreviate(lawless)))
	}
	for _, name := range docs.plain {
		a.add(nil, name, "a rule of .sops.yaml wants it encrypted, and it lies there in plain", "run `sops encrypt --in-place "+name+"`; if it was ever committed, what is in it is known to everybody who has the repository: replace it")
	}
	for _, name := range docs.private {
		a.add(nil, name, "it is a private key, and lies there in plain", "take it out of the repository, and replace it: everybody who has the repository knows it")
	}
	if len(docs.large) > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("files of more than %d MiB were not looked at (%s)", maxDocument>>20, abbreviate(docs.large)))
	}
	return nil
}

func (f *Fleet) auditDocument(ctx context.Context, a *Audit, d *document, people *readers) {
	add := func(problem, mend string) { a.add(nil, d.path, problem, mend) }
	if d.err != nil {
		mend := "restore it from git"
		if unsupported(d.err) {
			mend = "look at it with `sops " + d.path + "`"
		}
		add(d.err.Error(), mend)
		return
	}
	if err := d.doc.Verify(ctx, f.Identities); err != nil && !noKeyAtHand(err) && !unsupported(err) {
		add(err.Error(), "restore it from git")
		return
	}
	if d.governed == nil || d.governed.err != nil {
		return // told once for all
	}
	rule, err := d.rule()
	if errors.Is(err, secrets.ErrNoRule) {
		add("no rule of "+d.governed.path+" says who is to read it", "add a rule, then run `fleet vars fix`")
		return
	}
	if err != nil {
		add(err.Error(), "mend the rule, then run `fleet vars fix`")
		return
	}
	fix := "run `fleet vars fix`"
	if d.split(rule) {
		fix = "run `sops updatekeys " + d.path + "`"
	}
	readers := people.compare(d.doc.Recipients(), normal(rule.Recipients()))
	if len(readers.Lacks) > 0 {
		add("it cannot be read by "+strings.Join(readers.Lacks, ", "), fix)
	}
	if len(readers.Extra) > 0 {
		add("it can also be read by "+strings.Join(readers.Extra, ", "), fix+"; if they should not know it, change what is in it with `sops "+d.path+"`")
	}
	lacks, extra := compareOthers(d.doc.Others(), rule.Others())
	if len(lacks)+len(extra) > 0 {
		var what []string
		if len(lacks) > 0 {
			what = append(what, "it is not encrypted to "+strings.Join(lacks, ", "))
		}
		if len(extra) > 0 {
			what = append(what, "it is encrypted to "+strings.Join(extra, ", ")+", which its rule does not name")
		}
		add(strings.Join(what, ", and "), "run `sops updatekeys "+d.path+"`, because only sops can use keys of this kind")
	}
}

// compareOthers compares PGP and cloud keys. A rule may leave the version of an
// Azure key open.
func compareOthers(actual, wanted []string) (lacks, extra []string) {
	fits := func(wanted, actual string) bool {
		return actual == wanted || strings.HasPrefix(actual, strings.TrimSuffix(wanted, "/")+"/")
	}
	for _, key := range wanted {
		if !slices.ContainsFunc(actual, func(other string) bool { return fits(key, other) }) {
			lacks = append(lacks, key)
		}
	}
	for _, key := range actual {
		if !slices.ContainsFunc(wanted, func(other string) bool { return fits(other, key) }) {
			extra = append(extra, key)
		}
	}
	return lacks, extra
}

// auditAnchors compares the named keys of a .sops.yaml with those of the
// machines of the same names.
func (f *Fleet) auditAnchors(a *Audit, file *rulesFile, people *readers, survey *secrets.Survey) error {
	users, err := f.Layout.Users()
	if err != nil {
		return err
	}
	isUser := func(name string) bool {
		return slices.ContainsFunc(users, func(user secrets.Holder) bool { return user.Name == name })
	}
	anchors := file.rules.Anchors()
	ofMachines, ofUsers := map[int]bool{}, map[int]bool{} // sections with such anchors
	named := map[string]bool{}
	for _, anchor := range anchors {
		if _, ok := f.Inventory.Machines[anchor.Name]; ok {
			ofMachines[anchor.Section], named[anchor.Name] = true, true
		}
		ofUsers[anchor.Section] = ofUsers[anchor.Section] || isUser(anchor.Name)
	}
	for _, anchor := range anchors {
		holder, hasKey := people.machines[anchor.Name]
		_, isMachine := f.Inventory.Machines[anchor.Name]
		where := fmt.Sprintf("&%s in line %d", anchor.Name, anchor.Line)
		switch {
		case hasKey && !slices.Contains(holder.Recipients(), anchor.Key):
			a.add([]string{anchor.Name}, file.path, where+" is another key than the machine has",
				"put "+strings.Join(holder.Recipients(), " or ")+" there, then run `fleet vars fix`; if another key is meant, give the anchor another name")
		case isMachine:
		case slices.Contains(survey.Machines, anchor.Name):
			a.add([]string{anchor.Name}, file.path, where+" is the key of a machine that is not in the inventory", "take it out, then run `fleet vars fix`")
		case ofMachines[anchor.Section] && !ofUsers[anchor.Section]:
			a.Notes = append(a.Notes, fmt.Sprintf("%s: %s stands among machines, and there is no machine %s", file.path, where, anchor.Name))
		}
	}
	text := string(file.rules.Bytes())
	stands := func(key string) bool { return strings.Contains(text, key) }
	var nameless []string
	for _, machine := range sorted(people.machines) {
		if !named[machine] && !slices.ContainsFunc(people.machines[machine].Recipients(), stands) {
			nameless = append(nameless, machine)
		}
	}
	if len(named) > 0 && len(nameless) > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("%s names keys of machines, but none of %s", file.path, abbreviate(nameless)))
	}
	return nil
}
