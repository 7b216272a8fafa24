package vars

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/repository"
	"github.com/crs58/fleet/internal/vars/sandbox"
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

	step func(string) error // see [repository.Repository.Begin]
}

// Report is what a run has done.
type Report struct {
	Generated   []ID     `json:"generated"`
	Moved       []ID     `json:"moved"`
	Accepted    []ID     `json:"accepted"`
	Rewrapped   []Rewrap `json:"rewrapped"`
	MachineKeys []string `json:"machineKeys"`
	// Paths are the files written, sorted.
	Paths []string `json:"paths"`
}

// NewReport is that of a run that had nothing to do.
func NewReport() *Report {
	return &Report{Generated: []ID{}, Moved: []ID{}, Accepted: []ID{}, Rewrapped: []Rewrap{}, MachineKeys: []string{}, Paths: []string{}}
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
	sandbox  *sandbox.Sandbox
	answers  map[ID]map[string][]byte
	keyless  map[string]error // machines whose key could not be made
	unbuilt  error            // why scripts that are missing could not be built
	tellLock sync.Mutex

	lock    sync.Mutex // guards the following
	results map[ID]map[string][]byte
	moved   map[ID]map[string][]byte // values that lie elsewhere
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
		results: map[ID]map[string][]byte{}, moved: map[ID]map[string][]byte{}, failed: map[ID]error{}, skipped: map[ID]ID{},
	}
	var err error
	if err = opts.Sources.check(f, p.graph); err != nil {
		return nil, err
	}
	if p.runsScripts() {
		if r.sandbox, err = sandbox.New(f.Env, r.limits.script()); err != nil {
			return nil, err
		}
		defer func() {
			if err := r.sandbox.Close(); err != nil {
				r.tell(Event{Kind: Noted, Text: err.Error()})
			}
		}()
	}
	if r.answers, err = opts.Sources.answer(ctx, p.Questions()); err != nil {
		return nil, err
	}
	repo, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil {
		return nil, err
	}
	t, err := repo.Begin(ctx, r.limits.Lock, opts.step)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if t.Recovered != "" {
		r.tell(Event{Kind: Recovered, Text: t.Recovered})
	}
	// The plan was made without the lock.
	if again, err := f.Plan(ctx, p.Request); err != nil {
		return nil, err
	} else if !p.same(again) {
		return nil, ErrChanged
	}
	return r.do(ctx, t)
}

func (r *run) do(ctx context.Context, t *repository.Transaction) (*Report, error) {
	if err := r.build(ctx); err != nil {
		return nil, err
	}
	files, err := r.makeKeys(ctx)
	if err != nil {
		return nil, err
	}
	r.collect(ctx)
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
	placed, err := t.Apply(files, message)
	if err != nil {
		errs = multierror.Append(errs, err)
	}
	if !placed {
		return nil, errs
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
