package vars

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/vars/sandbox"
)

// build builds all scripts in one go. A script that does not build fails only
// its own generator.
func (r *run) build(ctx context.Context) error {
	var drvs []string
	for _, step := range r.plan.Steps {
		if script := r.plan.graph.nodes[step.ID].Def.Script; script != nil {
			drvs = append(drvs, script.DrvPath+"^out")
		}
	}
	if len(drvs) == 0 {
		return nil
	}
	slices.Sort(drvs)
	drvs = slices.Compact(drvs)
	text := fmt.Sprintf("%d scripts", len(drvs))
	if len(drvs) == 1 {
		text = "1 script"
	}
	r.tell(Event{Kind: Building, Text: text})
	_, r.unbuilt = r.opts.Builder.Build(ctx, nix.BuildRequest{Installables: drvs, KeepGoing: true, OnEvent: r.opts.OnBuild})
	r.buildShells(ctx)
	return ctx.Err()
}

// buildShells builds what runs the scripts that name no interpreter. It is there
// almost always: a script without a shell can hardly be built.
func (r *run) buildShells(ctx context.Context) {
	var drvs []string
	for _, step := range r.plan.Steps {
		shell := shellOf(r.plan.graph.nodes[step.ID].Def)
		if shell == nil {
			continue
		}
		if _, err := os.Stat(shell.OutPath); err != nil {
			drvs = append(drvs, shell.DrvPath+"^out")
		}
	}
	if len(drvs) == 0 {
		return
	}
	slices.Sort(drvs)
	_, err := r.opts.Builder.Build(ctx, nix.BuildRequest{Installables: slices.Compact(drvs), OnEvent: r.opts.OnBuild})
	r.unbuilt = errors.Join(r.unbuilt, err)
}

// shellOf is what has to run the built script of a generator; nil if the script
// says that itself.
func shellOf(g *flake.Generator) *flake.Derivation {
	if g.Script == nil || g.Shell == nil || sandbox.Interpreter(g.Script.OutPath) != "" {
		return nil
	}
	return g.Shell
}

// execute runs every step as soon as what it reads is there.
func (r *run) execute(ctx context.Context) {
	done := map[ID]chan struct{}{}
	for _, step := range r.plan.Steps {
		done[step.ID] = make(chan struct{})
	}
	slots := semaphore.NewWeighted(int64(r.limits.Parallel))
	for _, step := range r.plan.Steps {
		go func() {
			defer close(done[step.ID])
			for _, dep := range step.After {
				<-done[dep]
			}
			if slots.Acquire(ctx, 1) != nil {
				return
			}
			defer slots.Release(1)
			r.one(ctx, step)
		}()
	}
	for _, c := range done {
		<-c
	}
	r.dropMixed()
}

// one runs one step, unless something that it reads has failed.
func (r *run) one(ctx context.Context, step Step) {
	r.lock.Lock()
	for _, dep := range step.After {
		if r.results[dep] == nil {
			r.skipped[step.ID] = dep
		}
	}
	because, skip := r.skipped[step.ID]
	failed := r.failed[step.ID] != nil // to be collected
	r.lock.Unlock()
	if failed {
		return
	}
	if skip {
		r.tell(Event{Kind: Skipped, ID: step.ID, Text: fmt.Sprintf("it depends on %s", because)})
		return
	}
	r.tell(Event{Kind: Started, ID: step.ID})
	began := r.opts.Now()
	values, err := r.generate(ctx, step)
	r.lock.Lock()
	if err != nil {
		r.failed[step.ID] = err
	} else {
		r.results[step.ID] = values
	}
	r.lock.Unlock()
	if err != nil {
		r.tell(Event{Kind: Failed, ID: step.ID, Text: err.Error()})
		return
	}
	r.tell(Event{Kind: Finished, ID: step.ID, Duration: r.opts.Now().Sub(began)})
}

// generate makes the declared files of a step.
func (r *run) generate(ctx context.Context, step Step) (map[string][]byte, error) {
	n := r.plan.graph.nodes[step.ID]
	for _, machine := range n.Machines {
		if err := r.keyless[machine]; err != nil {
			return nil, fmt.Errorf("generator %s: %w", n.ID, err)
		}
	}
	wanted := slices.Concat(step.Missing, step.Replaces)
	for _, file := range wanted {
		// It fails before it has made what cannot be encrypted.
		if ref := n.ref(file); ref.Secret {
			if _, err := r.Layout.Wanted(ref, r.readers.holders(n, file, nil)); err != nil {
				return nil, fmt.Errorf("generator %s: who is to read %s: %w", n.ID, ref, err)
			}
		}
	}
	outputs, err := r.outputs(ctx, step, n)
	if err != nil {
		return nil, err
	}
	return r.declared(n, outputs, wanted)
}

// outputs are the files that the script of a step writes, or what takes its place.
func (r *run) outputs(ctx context.Context, step Step, n *Node) (map[string][]byte, error) {
	switch {
	case n.Def.Builtin != nil:
		return r.builtin(ctx, step, n)
	case n.Def.Script == nil:
		return nil, fmt.Errorf("generator %s has no script for %s: `nix eval .#clanInternals.machines.%[2]s.%[3]s.config.clan.core.vars.generators.%[4]s.finalScript` tells why", n.ID, nix.System(), n.Machines[0], n.Name)
	}
	script := n.Def.Script.OutPath
	if _, err := os.Stat(script); err != nil {
		return nil, fmt.Errorf("generator %s: its script was not built: %w", n.ID, errors.Join(r.unbuilt, err))
	}
	var shell string
	if d := shellOf(n.Def); d != nil {
		shell = filepath.Join(d.OutPath, "bin", "bash")
		if _, err := os.Stat(shell); err != nil {
			return nil, fmt.Errorf("generator %s: the shell for its script was not built: %w", n.ID, errors.Join(r.unbuilt, err))
		}
	}
	inputs, err := r.inputs(ctx, n)
	if err != nil {
		return nil, err
	}
	job := sandbox.Job{Script: script, Shell: shell, Host: n.ID.place(), Inputs: inputs, Prompts: map[string][]byte{}, Public: func(dependency, file string) bool {
		return r.isPublic(n, dependency, file)
	}}
	for _, q := range step.Prompts {
		answer, ok := r.answers[step.ID][q.Prompt.Name]
		if !ok { // q.Stored
			var err error
			if answer, err = r.open(ctx, n, q.Prompt.Name); err != nil {
				return nil, fmt.Errorf("generator %s: the kept answer: %w", n.ID, err)
			}
		}
		job.Prompts[q.Prompt.Name] = answer
	}
	outputs, err := r.sandbox.Run(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("generator %s: %w", n.ID, err)
	}
	return outputs, nil
}

// inputs are the values of what n depends on.
func (r *run) inputs(ctx context.Context, n *Node) (map[string]map[string][]byte, error) {
	inputs := map[string]map[string][]byte{}
	for _, dep := range n.DependsOn {
		values, err := r.values(ctx, dep)
		if err != nil {
			return nil, fmt.Errorf("generator %s reads %s: %w", n.ID, dep, err)
		}
		inputs[dep.Name] = values
	}
	return inputs, nil
}

// declared picks the wanted ones of the declared files out of what a script has
// written.
func (r *run) declared(n *Node, outputs map[string][]byte, wanted []string) (map[string][]byte, error) {
	values := map[string][]byte{}
	var lacking, extra []string
	for _, file := range sortedList(wanted) {
		if value, ok := outputs[file]; ok {
			values[file] = value
		} else {
			lacking = append(lacking, file)
		}
	}
	for _, file := range sorted(outputs) {
		if n.Def.Files[file] == nil {
			extra = append(extra, file)
		}
	}
	if len(lacking) > 0 {
		return nil, &MissingFileError{ID: n.ID, Missing: lacking, Written: sorted(outputs), Extra: extra}
	}
	if len(extra) > 0 {
		r.tell(Event{Kind: Noted, ID: n.ID, Text: fmt.Sprintf("the script also wrote %s, which files.* does not declare and which is not kept", strings.Join(extra, ", "))})
	}
	return values, nil
}

// MissingFileError says that a script did not write what its generator declares.
type MissingFileError struct {
	ID      ID
	Missing []string
	Written []string
	Extra   []string // written and not declared
}

func (e *MissingFileError) Error() string {
	text := fmt.Sprintf("generator %s did not write %s; it wrote %s", e.ID, strings.Join(e.Missing, ", "), orNothing(e.Written))
	for _, name := range e.Missing {
		if near := flake.Near(name, e.Extra); len(near) > 0 {
			text += fmt.Sprintf(": is %s meant? rename files.%q to %q, or write $out/%s in the script", near[0], name, near[0], name)
		}
	}
	return text
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// isPublic tells of a file of what n reads, or, without a dependency, of n.
func (r *run) isPublic(n *Node, dependency, file string) bool {
	if dependency != "" {
		i := slices.IndexFunc(n.DependsOn, func(d ID) bool { return d.Name == dependency })
		n = r.plan.graph.nodes[n.DependsOn[i]]
	}
	def := n.Def.Files[file]
	return def != nil && !def.Secret
}

// values are all files of a generator: made by this run, or from disk.
func (r *run) values(ctx context.Context, id ID) (map[string][]byte, error) {
	r.lock.Lock()
	made := r.results[id]
	r.lock.Unlock()
	values := maps.Clone(made)
	if values == nil {
		values = map[string][]byte{}
	}
	n := r.plan.graph.nodes[id]
	for _, file := range sorted(n.Def.Files) {
		if _, ok := made[file]; ok {
			continue
		}
		value, err := r.open(ctx, n, file)
		if err != nil {
			return nil, err
		}
		values[file] = value
	}
	return values, nil
}

// open gives a value that exists, from where it lies.
func (r *run) open(ctx context.Context, n *Node, file string) ([]byte, error) {
	if value, ok := r.moved[n.ID][file]; ok {
		return value, nil
	}
	return secrets.Open(ctx, r.Layout, n.ref(file), r.Identities)
}

// collect opens the values that are to move.
func (r *run) collect(ctx context.Context) {
	for _, move := range r.plan.Moves {
		values := map[string][]byte{}
		for _, file := range move.Files {
			value, err := secrets.Open(ctx, r.Layout, move.refs[file], r.Identities)
			if err != nil {
				r.failed[move.ID] = fmt.Errorf("generator %s is to keep its value: %w", move.ID, err)
				r.tell(Event{Kind: Failed, ID: move.ID, Text: err.Error()})
				break
			}
			values[file] = value
		}
		if r.failed[move.ID] == nil {
			r.moved[move.ID] = values
		}
	}
}

// dropMixed takes back results that would leave an old value beside a new one
// that it was to be made from: where a step failed whose old values stay, what
// it reads of this run, and all else that was made from that.
func (r *run) dropMixed() {
	steps := map[ID]Step{}
	for _, step := range r.plan.Steps {
		steps[step.ID] = step
	}
	dropped := map[ID]bool{}
	var drop func(id, because ID)
	drop = func(id, because ID) {
		step, ok := steps[id]
		if !ok || dropped[id] {
			return
		}
		dropped[id] = true
		if r.results[id] != nil {
			delete(r.results, id)
			r.skipped[id] = because
			r.tell(Event{Kind: Skipped, ID: id, Text: fmt.Sprintf("its new values are not kept, because %s has none", because)})
		}
		if len(step.Replaces) > 0 { // and these stay
			for _, dep := range step.After {
				drop(dep, because)
			}
		}
		for _, dependent := range r.plan.graph.dependents[id] {
			drop(dependent, because)
		}
	}
	for _, step := range r.plan.Steps {
		if because, skipped := r.skipped[step.ID]; r.failed[step.ID] != nil {
			drop(step.ID, step.ID)
		} else if skipped {
			drop(step.ID, because)
		}
	}
}
