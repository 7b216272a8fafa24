package flake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// Evaluated is what evaluating several machines gave: the details of those that
// evaluate and the error of each that does not.
type Evaluated struct {
	Details map[string]*Details
	Failed  map[string]*MachineError
	// Violations are what services demand of the inventory and do not find, such
	// as one controller at least. No value is to be made while there are any.
	Violations []string
}

// Names are the machines that evaluate, sorted.
func (e *Evaluated) Names() []string { return slices.Sorted(maps.Keys(e.Details)) }

// Errors are the failures, sorted by machine.
func (e *Evaluated) Errors() []*MachineError {
	var errs []*MachineError
	for _, name := range slices.Sorted(maps.Keys(e.Failed)) {
		errs = append(errs, e.Failed[name])
	}
	return errs
}

// Details evaluates machines. With toplevel the whole system is evaluated, so
// that it can be built; without, only what vars need. The error is one that
// concerns all machines; a machine's own error is in Evaluated.Failed.
func (l *Loader) Details(ctx context.Context, fleet *Fleet, names []string, toplevel bool) (*Evaluated, error) {
	return l.evaluateEach(ctx, fleet, names, toplevel, max(1, len(names)), func(string, *Details, *MachineError) {})
}

// mostAtOnce is how many machines one Nix process evaluates where each of them
// is waited for: the first are known early, and memory is given back in between.
const mostAtOnce = 10

// Each is Details for whoever can begin with the first machine before the last
// is evaluated: tell is called with each as soon as it is known, never twice at
// once.
func (l *Loader) Each(ctx context.Context, fleet *Fleet, names []string, toplevel bool, tell func(name string, d *Details, err *MachineError)) (*Evaluated, error) {
	return l.evaluateEach(ctx, fleet, names, toplevel, mostAtOnce, tell)
}

func (l *Loader) evaluateEach(ctx context.Context, fleet *Fleet, names []string, toplevel bool, most int, tell func(string, *Details, *MachineError)) (*Evaluated, error) {
	e := &evaluation{
		Loader: l, fleet: fleet, tell: tell, keeps: map[string]any{},
		result: &Evaluated{Details: map[string]*Details{}, Failed: map[string]*MachineError{}},
	}
	var todo []string
	for _, name := range names {
		if _, known := fleet.Machines[name]; !known {
			return nil, fmt.Errorf("there is no machine %s%s", name, DidYouMean(name, slices.Sorted(maps.Keys(fleet.Machines))))
		}
		if d := l.knownDetails(fleet, name, toplevel); d != nil {
			e.result.Details[name] = d
			tell(name, d, nil)
			continue
		}
		todo = append(todo, name)
	}
	var questions []question
	processes := max(l.processes(len(todo), toplevel || fleet.Flavour == Clan), (len(todo)+most-1)/most)
	for _, batch := range split(todo, processes) {
		questions = append(questions, question{machines: batch, toplevel: toplevel})
	}
	if len(names) > 0 && !l.knownViolations(fleet, e.result) {
		if len(questions) == 0 {
			questions = []question{{machines: []string{}}}
		}
		questions[0].violations = true
	}
	e.ask(ctx, e.ask(ctx, questions))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, name := range todo {
		if d := e.result.Details[name]; d != nil {
			e.keeps[l.detailsKey(fleet, name, toplevel)] = d
		}
	}
	l.keep(ctx, fleet, e.keeps)
	return e.result, nil
}

// loadFor reads the inventory and the details of machines. Each process takes
// its share of them; of all machines, it alone knows the names. The results are
// there even if there is an error, so far as they go.
func (l *Loader) loadFor(ctx context.Context, fleet *Fleet, machines []string, toplevel bool) (results map[string]any, err error) {
	processes := max(1, l.Workers)
	if machines != nil {
		processes = l.processes(len(machines), toplevel)
	}
	if processes > 1 && fleet.Dir != "" && !exists(filepath.Join(fleet.Dir, "flake.lock")) {
		return nil, errors.New("the inputs are not locked: several processes would write the lock file at once")
	}
	answers, errs := make([]*answer, processes), make([]error, processes)
	l.parallel(processes, func(i int) {
		answers[i], errs[i] = l.evaluate(ctx, fleet, question{
			inventory: i == 0, violations: i == 0, machines: machines, toplevel: toplevel, index: i, of: processes,
		})
	})
	fleet.known.Details = map[string]*Details{}
	results = map[string]any{}
	for i, answer := range answers {
		if errs[i] != nil {
			continue
		}
		for name, d := range answer.Details {
			if d != nil {
				fleet.known.Details[name] = d
				results[l.detailsKey(fleet, name, toplevel)] = d
			}
		}
	}
	if errs[0] != nil {
		return results, errs[0]
	}
	fleet.known.Violations = answers[0].Violations
	results[l.violationsKey(fleet)] = fleet.known.Violations
	return results, fleet.take(answers[0])
}

// evaluation collects what several Nix processes say of machines.
type evaluation struct {
	*Loader
	fleet *Fleet
	tell  func(string, *Details, *MachineError)

	mu     sync.Mutex
	result *Evaluated
	keeps  map[string]any // for the cache
}

// ask asks questions of several machines each, and returns what is to be asked
// again: machines that fail are asked for alone, which gives their errors and
// the others what they are.
func (e *evaluation) ask(ctx context.Context, questions []question) (again []question) {
	e.parallel(len(questions), func(i int) {
		q := questions[i]
		got, err := e.evaluate(ctx, e.fleet, q)
		e.mu.Lock()
		defer e.mu.Unlock()
		switch {
		case err == nil:
			again = append(again, e.note(q, got)...)
		case q.violations && len(q.machines) == 0:
			e.result.Violations = []string{"what services demand cannot be evaluated: " + reason(err)}
		case !q.violations && len(q.machines) == 1:
			e.fail(q.machines[0], err)
		default:
			if q.violations {
				again = append(again, question{machines: []string{}, violations: true})
			}
			again = append(again, alone(q.machines, q.toplevel)...)
		}
	})
	return again
}

// note takes an answer over, and returns the questions for what it lacks.
func (e *evaluation) note(q question, got *answer) []question {
	if q.violations {
		e.result.Violations = got.Violations
		e.keeps[e.violationsKey(e.fleet)] = got.Violations
	}
	var failed []string
	for _, name := range q.machines {
		switch d, answered := got.Details[name]; {
		case d != nil:
			e.result.Details[name] = d
			e.tell(name, d, nil)
		case answered:
			failed = append(failed, name)
		default:
			e.fail(name, fmt.Errorf("the evaluation of %s did not return it", e.fleet.Ref))
		}
	}
	return alone(failed, q.toplevel)
}

func (e *evaluation) fail(name string, err error) {
	e.result.Failed[name] = &MachineError{name, err}
	e.tell(name, nil, e.result.Failed[name])
}

func alone(names []string, toplevel bool) (questions []question) {
	for _, name := range names {
		questions = append(questions, question{machines: []string{name}, toplevel: toplevel})
	}
	return questions
}

// knownDetails are those that were evaluated with the inventory or by an
// earlier command.
func (l *Loader) knownDetails(fleet *Fleet, name string, toplevel bool) *Details {
	if d := fleet.known.Details[name]; d != nil && (d.Toplevel != nil || !toplevel) {
		return d
	}
	for _, with := range []bool{toplevel, true} {
		var d Details
		if l.cached(l.detailsKey(fleet, name, with), &d) && d.inStore() {
			return &d
		}
	}
	return nil
}

// knownViolations takes the violations over where there is nothing to evaluate:
// the core calls them errors, a plain flake has none.
func (l *Loader) knownViolations(fleet *Fleet, result *Evaluated) bool {
	if fleet.Flavour != Clan {
		return true
	}
	result.Violations = fleet.known.Violations
	return result.Violations != nil || l.cached(l.violationsKey(fleet), &result.Violations)
}

func (l *Loader) violationsKey(fleet *Fleet) string { return fleet.key("violations") }

func (l *Loader) detailsKey(fleet *Fleet, name string, toplevel bool) string {
	return fleet.key("details", name, l.System, strconv.FormatBool(toplevel))
}

// inStore is whether the derivations still exist: a garbage collection may have
// taken them since the result was kept.
func (d *Details) inStore() bool {
	if d.Toplevel != nil && !exists(d.Toplevel.DrvPath) {
		return false
	}
	for _, g := range d.Generators {
		for _, d := range []*Derivation{g.Script, g.Shell} {
			if d != nil && !exists(d.DrvPath) {
				return false
			}
		}
	}
	return true
}

// processes is how many are worth starting for n machines. Below a few light
// machines for each, the flake itself costs more than they.
func (l *Loader) processes(n int, heavy bool) int {
	atLeast := 3
	if heavy {
		atLeast = 1
	}
	return min(max(1, l.Workers), max(1, n/atLeast))
}

// parallel runs n jobs, at most Workers at once.
func (l *Loader) parallel(n int, job func(i int)) {
	slots := make(chan struct{}, max(1, l.Workers))
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			job(i)
		})
	}
	wg.Wait()
}

// split cuts names into n parts of nearly the same size, in order.
func split(names []string, n int) [][]string {
	var parts [][]string
	for i := range n {
		if part := names[i*len(names)/n : (i+1)*len(names)/n]; len(part) > 0 {
			parts = append(parts, part)
		}
	}
	return parts
}
