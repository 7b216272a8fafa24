package vars

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/secrets"
)

// Audit is all that was found in a repository.
type Audit struct {
	// Findings are wrong and can be mended.
	Findings []Finding `json:"findings"`
	// Notes are worth knowing and no failure.
	Notes []string `json:"notes"`
}

// Audit is [Fleet.Check], and with whole a look at all that lies in the
// repository: what nothing declares any more, keys that cannot be used, secrets
// without a generator, sops files beside the values, and what an interrupted run
// has left. Whole is for when all machines were selected;
// those that do not evaluate are missing in f.Machines, and nothing that they
// may declare is taken for an orphan.
func (f *Fleet) Audit(ctx context.Context, whole bool) (*Audit, error) {
	a := &Audit{Findings: []Finding{}, Notes: []string{}}
	survey, err := f.Layout.Survey()
	if err != nil {
		return nil, err
	}
	if len(survey.Damaged) == 0 {
		if a.Findings, err = f.Check(ctx); err != nil {
			return nil, err
		}
	} else {
		a.Notes = append(a.Notes, "who can read which value was not looked at, because not every key.json can be used")
	}
	for _, damaged := range survey.Damaged {
		a.add(nil, damaged.Path, damaged.Err.Error(), "restore it from git")
	}
	r, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil {
		return nil, err
	}
	f.auditLeftovers(a, r, survey)
	if !whole {
		return a, nil
	}
	for _, link := range survey.Dangling {
		a.add(nil, link, "it is a link that leads to nothing in the repository", "run `git rm "+link+"`")
	}
	if err := f.auditOrphans(a, survey); err != nil {
		return nil, err
	}
	if len(survey.Damaged) == 0 {
		found, err := f.auditPlain(ctx)
		if err != nil {
			return nil, err
		}
		a.Findings = append(a.Findings, found...)
	}
	if err := f.auditDocuments(ctx, a, r, survey); err != nil {
		return nil, err
	}
	return a, f.auditPeople(a, survey)
}

func (a *Audit) add(machines []string, value, problem, mend string) {
	a.Findings = append(a.Findings, Finding{Machines: append([]string{}, machines...), Value: value, Problem: problem, Mend: mend})
}

// auditLeftovers finds what an interrupted run has left: with its journal it can
// be completed, without it staged files only lie around.
func (f *Fleet) auditLeftovers(a *Audit, r *repository.Repository, survey *secrets.Survey) {
	if r.Interrupted() {
		a.add(nil, "", "a run that changes values was interrupted, or is still at it", "run `fleet vars fix`, which completes it")
		return
	}
	for _, file := range survey.Hidden {
		if repository.Staged(file) {
			a.add(nil, file, "an interrupted run has left it", "run `rm "+file+"`")
		}
	}
}

// auditPeople notes how easily all secrets could be lost.
func (f *Fleet) auditPeople(a *Audit, survey *secrets.Survey) error {
	if survey.Risk != "" {
		a.Notes = append(a.Notes, survey.Risk)
	}
	if len(survey.Damaged) > 0 {
		return nil
	}
	users, err := f.Layout.Users()
	if err != nil {
		return err
	}
	owner := map[string]string{}
	for _, user := range users {
		for _, key := range user.Recipients() {
			if other, ok := owner[key]; ok {
				a.Notes = append(a.Notes, fmt.Sprintf("administrators %s and %s have one and the same key: who loses it loses it for both", other, user.Name))
			}
			owner[key] = user.Name
		}
	}
	return nil
}

// auditOrphans finds values and keys that nothing declares any more. They are
// told by the generators that there are, never by a name.
func (f *Fleet) auditOrphans(a *Audit, survey *secrets.Survey) error {
	for _, machine := range survey.Machines {
		if _, ok := f.Inventory.Machines[machine]; !ok {
			a.add([]string{machine}, "", "it is not in the inventory, but has keys or values", f.removeMachine(machine))
		}
	}
	var unknown []string // machines that declare nobody knows what
	for _, machine := range sorted(f.Inventory.Machines) {
		if f.Machines[machine] == nil {
			unknown = append(unknown, machine)
		}
	}
	if len(unknown) > 0 {
		a.Notes = append(a.Notes, "values that nothing declares were not looked for where "+strings.Join(unknown, ", ")+" may declare them")
	}
	g, err := NewGraph(f.Machines)
	if err != nil {
		return err
	}
	refs, err := f.Layout.List()
	if err != nil {
		return err
	}
	whole := map[ID]bool{} // generators that are gone and were told of
	for _, ref := range refs {
		_, inInventory := f.Inventory.Machines[ref.Machine]
		switch {
		case ref.Machine == "" && len(unknown) > 0, ref.Machine != "" && !inInventory, slices.Contains(unknown, ref.Machine):
			continue
		}
		id := ID{Machine: ref.Machine, Name: ref.Generator}
		n := g.nodes[id]
		if n != nil && n.Def.Files[ref.File] != nil && n.Def.Files[ref.File].Secret == ref.Secret {
			continue
		}
		moved, err := f.auditMoved(a, g, ref)
		if err != nil {
			return err
		}
		if moved || whole[id] {
			continue
		}
		if n != nil {
			if err := f.addOrphan(a, ref, "its generator does not declare this file any more"); err != nil {
				return err
			}
			continue
		}
		whole[id] = true
		if err := f.addGenerator(a, ref, refs); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) addOrphan(a *Audit, ref secrets.Ref, problem string) error {
	gone, err := secrets.Remove(f.Layout, ref)
	if err != nil {
		return err
	}
	var files []string
	for _, file := range gone {
		files = append(files, file.Path)
	}
	a.add(machinesOf(ref), ref.String(), problem, "run `git rm "+strings.Join(files, " ")+"`")
	return nil
}

// addGenerator reports all values of a generator that is gone.
func (f *Fleet) addGenerator(a *Audit, ref secrets.Ref, refs []secrets.Ref) error {
	folders := []string{}
	for _, other := range refs {
		if other.Machine != ref.Machine || other.Generator != ref.Generator {
			continue
		}
		file, err := f.Layout.Path(other)
		if err != nil {
			return err
		}
		folders = append(folders, path.Dir(file))
	}
	if hash, err := f.Layout.Hash(ref.Machine, ref.Generator); err != nil {
		return err
	} else if hash != "" {
		file, err := f.Layout.HashPath(ref.Machine, ref.Generator)
		if err != nil {
			return err
		}
		folders = append(folders, path.Dir(file))
	}
	slices.Sort(folders)
	who := cmp.Or(ref.Machine, "shared")
	a.add(machinesOf(ref), who+"/"+ref.Generator, "its generator is not declared any more", "run `git rm -r "+strings.Join(slices.Compact(folders), " ")+"`")
	return nil
}

// auditMoved finds out whether a value belongs elsewhere since share or secret
// of its generator were changed. Then it may be the only copy.
func (f *Fleet) auditMoved(a *Audit, g *Graph, ref secrets.Ref) (bool, error) {
	for _, id := range g.order {
		n := g.nodes[id]
		file := n.Def.Files[ref.File]
		related := ref.Machine == "" || slices.Contains(n.Machines, ref.Machine)
		if id.Name != ref.Generator || file == nil || !related {
			continue
		}
		now := n.ref(ref.File)
		exists, err := f.Layout.Exists(now)
		if err != nil {
			return false, err
		}
		place, err := f.Layout.Path(ref)
		if err != nil {
			return false, err
		}
		generate, gone := "run `"+generateCommand(n.Machines), "run `git rm "+place+"`"
		problem, mend := "its generator's share was changed since it was made", generate+"`, which moves it"
		switch {
		case file.Secret && !ref.Secret:
			problem = "it is declared as secret, and lies here in plain, so that everybody who has the repository knows it"
			mend = generate + " --regenerate " + n.Name + "`"
		case !file.Secret && ref.Secret:
			problem = "it is declared as public, and lies here as a secret"
			mend = generate + " --publish " + n.Name + "`, or set secret back"
		}
		switch {
		case exists && file.Secret && !ref.Secret:
			mend += ", then `git rm " + place + "`"
		case exists:
			mend = gone
		}
		a.add(n.Machines, ref.String(), problem, mend)
		return true, nil
	}
	return false, nil
}

// removeMachine is the command that removes all of a machine.
func (f *Fleet) removeMachine(machine string) string {
	var places []string
	belongings, _ := f.Layout.Belongings(machine)
	for _, place := range belongings {
		if _, err := os.Stat(filepath.Join(f.Root, filepath.FromSlash(place))); err == nil {
			places = append(places, place)
		}
	}
	return "run `git rm -r " + strings.Join(places, " ") + "`, then `fleet vars fix`"
}

func machinesOf(ref secrets.Ref) []string {
	if ref.Machine == "" {
		return nil
	}
	return []string{ref.Machine}
}
