package vars

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/semaphore"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/secrets"
)

// Builder builds the scripts; [nix.Executor] is one.
type Builder interface {
	Build(ctx context.Context, req nix.BuildRequest) ([]nix.BuildResult, error)
}

// RunOptions is what a run needs besides the plan.
type RunOptions struct {
	Builder Builder
	Sources Sources
	Limits  Limits
	// Commit makes one git commit of exactly the files that the run wrote.
	Commit bool
	Now    func() time.Time
	// OnEvent is told of progress; it may be nil.
	OnEvent func(Event)
	// OnBuild is told what Nix does; it may be nil.
	OnBuild func(nix.Event)

	step func(string) error // see transactor
}

// Report is what a run has done.
type Report struct {
	Generated   []ID     `json:"generated"`
	Rewrapped   []Rewrap `json:"rewrapped"`
	MachineKeys []string `json:"machineKeys"`
	// Paths are the files written, sorted.
	Paths []string `json:"paths"`
}

// ErrChanged says that the plan is not what would be planned now.
var ErrChanged = errors.New("the values have changed since the plan was made, so nothing was done: run the command again")

// run is one run of a plan.
type run struct {
	*Fleet
	plan     *Plan
	opts     RunOptions
	limits   Limits
	readers  *readers
	sandbox  *sandbox
	answers  map[ID]map[string][]byte
	keyless  map[string]error // machines whose key could not be made
	unbuilt  error            // why scripts that are missing could not be built
	tellLock sync.Mutex

	lock    sync.Mutex // guards the following
	results map[ID]map[string][]byte
	failed  map[ID]error
	skipped map[ID]ID // because of
}

// Run does what a plan says. It goes as far as it can: the error tells of all
// generators that failed or were refused, the report of what was done
// nevertheless. When the context ends before the results are switched nothing
// is changed; from then on the run completes.
func (f *Fleet) Run(ctx context.Context, p *Plan, opts RunOptions) (*Report, error) {
	r := &run{
		Fleet: f, plan: p, opts: opts, limits: opts.Limits.withDefaults(),
		results: map[ID]map[string][]byte{}, failed: map[ID]error{}, skipped: map[ID]ID{},
	}
	var err error
	if err = opts.Sources.check(f, p.graph); err != nil {
		return nil, err
	}
	if len(p.Steps) > 0 {
		if r.sandbox, err = newSandbox(r.limits); err != nil {
			return nil, err
		}
	}
	if r.answers, err = opts.Sources.answer(ctx, p.Questions()); err != nil {
		return nil, err
	}
	repo, err := openRepo(ctx, f.Root, f.Env)
	if err != nil {
		return nil, err
	}
	t, done, err := repo.begin(ctx, r.limits, opts.step)
	if err != nil {
		return nil, err
	}
	defer done()
	if t.recovered != "" {
		r.tell(Event{Kind: Recovered, Text: t.recovered})
	}
	// The plan was made without the lock.
	if again, err := f.Plan(ctx, p.Request); err != nil {
		return nil, err
	} else if !p.same(again) {
		return nil, ErrChanged
	}
	return r.do(ctx, t)
}

func (r *run) do(ctx context.Context, t *transaction) (*Report, error) {
	if err := r.build(ctx); err != nil {
		return nil, err
	}
	files, err := r.makeKeys(ctx)
	if err != nil {
		return nil, err
	}
	r.execute(ctx)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("interrupted, so nothing was changed: %w", err)
	}
	report, sealed, errs, err := r.seal(ctx)
	if err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	files = append(files, sealed...)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("interrupted, so nothing was changed: %w", err)
	}
	message := ""
	if r.opts.Commit {
		message = report.message()
	}
	if err := t.write(files, message); err != nil {
		return report, multierror.Append(errs, err)
	}
	for _, f := range files {
		report.Paths = append(report.Paths, f.Path)
		r.tell(Event{Kind: Written, Path: f.Path})
	}
	slices.Sort(report.Paths)
	return report, errs.ErrorOrNil()
}

func (r *run) tell(e Event) {
	if r.opts.OnEvent == nil {
		return
	}
	r.tellLock.Lock()
	defer r.tellLock.Unlock()
	r.opts.OnEvent(e)
}

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
	r.tell(Event{Kind: Building, Text: fmt.Sprintf("%d scripts", len(drvs))})
	_, r.unbuilt = r.opts.Builder.Build(ctx, nix.BuildRequest{Installables: drvs, KeepGoing: true, OnEvent: r.opts.OnBuild})
	return ctx.Err()
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
	r.lock.Unlock()
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

// generate runs the script of a step and gives the declared files.
func (r *run) generate(ctx context.Context, step Step) (map[string][]byte, error) {
	n := r.plan.graph.nodes[step.ID]
	j := job{id: step.ID, inputs: map[string]map[string][]byte{}, prompts: map[string][]byte{}, open: func(generator, file string) bool {
		return r.isPublic(n, generator, file)
	}}
	if n.Def.Script == nil {
		return nil, fmt.Errorf("generator %s has no script", n.ID)
	}
	for _, machine := range n.Machines {
		if err := r.keyless[machine]; err != nil {
			return nil, fmt.Errorf("generator %s: %w", n.ID, err)
		}
	}
	j.script = n.Def.Script.OutPath
	if _, err := os.Stat(j.script); err != nil {
		return nil, fmt.Errorf("generator %s: its script was not built: %w", n.ID, errors.Join(r.unbuilt, err))
	}
	for _, dep := range n.DependsOn {
		values, err := r.values(ctx, dep)
		if err != nil {
			return nil, fmt.Errorf("generator %s reads %s: %w", n.ID, dep, err)
		}
		j.inputs[dep.Name] = values
	}
	for _, q := range step.Prompts {
		answer, ok := r.answers[step.ID][q.Prompt.Name]
		if !ok { // q.Stored
			var err error
			if answer, err = secrets.Open(ctx, r.Layout, n.ref(q.Prompt.Name), r.Identities); err != nil {
				return nil, fmt.Errorf("generator %s: the kept answer: %w", n.ID, err)
			}
		}
		j.prompts[q.Prompt.Name] = answer
	}
	outputs, err := r.sandbox.run(ctx, j)
	if err != nil {
		return nil, err
	}
	return r.declared(n, outputs)
}

// declared picks the declared files out of what a script has written.
func (r *run) declared(n *Node, outputs map[string][]byte) (map[string][]byte, error) {
	values := map[string][]byte{}
	var lacking, extra []string
	for _, file := range sorted(n.Def.Files) {
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

// isPublic tells of a file of n or of what n reads.
func (r *run) isPublic(n *Node, generator, file string) bool {
	if generator != n.Name {
		i := slices.IndexFunc(n.DependsOn, func(d ID) bool { return d.Name == generator })
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
	if made != nil {
		return made, nil
	}
	values := map[string][]byte{}
	n := r.plan.graph.nodes[id]
	for _, file := range sorted(n.Def.Files) {
		value, err := secrets.Open(ctx, r.Layout, n.ref(file), r.Identities)
		if err != nil {
			return nil, err
		}
		values[file] = value
	}
	return values, nil
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

// makeKeys makes the keys of machines that have none. A machine whose key cannot
// be made fails with its generators.
func (r *run) makeKeys(ctx context.Context) (files []secrets.File, err error) {
	if r.readers, err = r.Fleet.readers(); err != nil {
		return nil, err
	}
	r.keyless = map[string]error{}
	for _, machine := range r.plan.MachineKeys {
		holder, made, err := secrets.EnsureMachineKey(ctx, r.Layout, machine, r.opts.Now())
		if err != nil {
			r.keyless[machine] = err
			continue
		}
		r.readers.add(machine, holder)
		files = append(files, made...)
		r.tell(Event{Kind: KeyMade, ID: ID{Machine: machine}})
	}
	return files, nil
}

// seal turns the results into files, in the order of the plan. The errors are
// those of single generators; with err nothing may be written.
func (r *run) seal(ctx context.Context) (report *Report, files []secrets.File, errs *multierror.Error, err error) {
	report = &Report{Generated: []ID{}, Rewrapped: []Rewrap{}, MachineKeys: []string{}, Paths: []string{}}
	for _, refusal := range r.plan.Refused {
		errs = multierror.Append(errs, refusal)
	}
	for _, machine := range r.plan.MachineKeys {
		if err := r.keyless[machine]; err != nil {
			errs = multierror.Append(errs, err)
		} else {
			report.MachineKeys = append(report.MachineKeys, machine)
		}
	}
	for _, step := range r.plan.Steps {
		if err := r.failed[step.ID]; err != nil {
			errs = multierror.Append(errs, err)
			continue
		}
		if because, ok := r.skipped[step.ID]; ok {
			errs = multierror.Append(errs, fmt.Errorf("generator %s made nothing, because %s failed", step.ID, because))
			continue
		}
		made, err := r.sealStep(ctx, step.ID)
		if err != nil {
			return nil, nil, nil, err
		}
		files = append(files, made...)
		report.Generated = append(report.Generated, step.ID)
	}
	for _, rewrap := range r.plan.Rewraps {
		file, err := r.rewrap(ctx, rewrap)
		if err != nil {
			errs = multierror.Append(errs, fmt.Errorf("%s is to be readable by %s as well: %w", rewrap, strings.Join(rewrap.Add, ", "), err))
			continue
		}
		files = append(files, file)
		report.Rewrapped = append(report.Rewrapped, rewrap)
		r.tell(Event{Kind: Rewrapped, ID: rewrap.ID, File: rewrap.File, Text: "now also for " + strings.Join(rewrap.Add, ", ")})
	}
	return report, files, errs, nil
}

// sealStep encrypts what a step has made.
func (r *run) sealStep(ctx context.Context, id ID) (files []secrets.File, err error) {
	n := r.plan.graph.nodes[id]
	for _, name := range sorted(r.results[id]) {
		ref := n.ref(name)
		var before []string // of a shared secret that is replaced
		if envelope, err := r.Layout.Read(ref); err == nil && ref.Secret {
			before, _ = secrets.EnvelopeRecipients(envelope)
		}
		made, err := secrets.Seal(ctx, r.Layout, ref, r.results[id][name], r.readers.holders(n, name, before), r.opts.Now())
		if err != nil {
			return nil, err
		}
		files = append(files, made...)
	}
	if n.Def.ValidationHash == "" {
		return files, nil
	}
	path, err := r.Layout.HashPath(id.Machine, id.Name)
	return append(files, secrets.File{Path: path, Data: []byte(n.Def.ValidationHash)}), err
}

// rewrap adds readers to an existing secret and takes none away.
func (r *run) rewrap(ctx context.Context, w Rewrap) (secrets.File, error) {
	if w.File == "" {
		envelope, err := r.Layout.ReadMachinePrivateKey(w.Machine)
		if err != nil {
			return secrets.File{}, err
		}
		path, err := r.Layout.MachinePrivateKeyPath(w.Machine)
		if err != nil {
			return secrets.File{}, err
		}
		return r.widen(ctx, path, envelope, r.readers.admins)
	}
	n := r.plan.graph.nodes[w.ID]
	ref := n.ref(w.File)
	envelope, err := r.Layout.Read(ref)
	if err != nil {
		return secrets.File{}, err
	}
	path, err := r.Layout.Path(ref)
	if err != nil {
		return secrets.File{}, err
	}
	wanted, err := r.Layout.Wanted(ref, r.readers.holders(n, w.File, nil))
	if err != nil {
		return secrets.File{}, err
	}
	return r.widen(ctx, path, envelope, wanted)
}

func (r *run) widen(ctx context.Context, path string, envelope []byte, wanted []string) (secrets.File, error) {
	actual, err := secrets.EnvelopeRecipients(envelope)
	if err != nil {
		return secrets.File{}, err
	}
	data, err := secrets.Rewrap(ctx, envelope, append(actual, wanted...), r.Identities)
	return secrets.File{Path: path, Data: data}, err
}

// message is that of the commit.
func (r *Report) message() string {
	var what []string
	for _, id := range r.Generated {
		what = append(what, id.place()+"/"+id.Name)
	}
	switch {
	case len(what) == 0 && len(r.MachineKeys) > 0:
		return "feat(vars): add keys for " + strings.Join(r.MachineKeys, ", ")
	case len(what) == 0:
		return "chore(vars): re-encrypt for more readers"
	case len(what) <= 2:
		return "feat(vars): generate " + strings.Join(what, ", ")
	}
	return fmt.Sprintf("feat(vars): generate %d values\n\n%s\n", len(what), strings.Join(what, "\n"))
}
