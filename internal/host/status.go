package host

import (
	"context"
	"fmt"
	"strings"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
)

// Item is one line of a machine's checklist.
type Item struct {
	Name    string `json:"name"`
	State   Mark   `json:"state"`
	Message string `json:"message,omitempty"`
	// Next is the command that mends it.
	Next string `json:"next,omitempty"`
}

// Mark says how an item of a checklist stands.
type Mark string

// The marks. Unclear is what could not be found out because of another item.
const (
	OK      Mark = "ok"
	Todo    Mark = "to do"
	Unclear Mark = "unknown"
)

// Status is the checklist of a machine, in the order of its life: evaluation,
// values, reachable, age key, system, units. Nothing is changed.
func Status(ctx context.Context, o Options, m Machine) ([]Item, error) {
	o.Deploy.OnEvent = nil
	d := deploy.New(o.Deploy)
	details, evalErr := o.Evaluate(ctx, m.Name, true)
	items := []Item{evaluationItem(evalErr), valuesItem(ctx, o, m, details)}
	s := d.Status(ctx, []deploy.Machine{{Name: m.Name, Class: m.Class, Address: m.Address, Details: details}})[0]
	items = append(items, reachableItem(s))
	if s.Err != nil {
		for _, name := range []string{"age key", "system", "units"} {
			items = append(items, Item{Name: name, State: Unclear})
		}
	} else {
		items = append(items, keyItem(s), systemItem(s), unitsItem(s))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return items, d.Close()
}

func evaluationItem(err error) Item {
	if err != nil {
		return Item{Name: "evaluation", State: Todo, Message: err.Error()}
	}
	return Item{Name: "evaluation", State: OK}
}

func valuesItem(ctx context.Context, o Options, m Machine, details *flake.Details) Item {
	item := Item{Name: "values", State: Unclear}
	if details == nil {
		return item
	}
	findings, err := o.Check(ctx, m.Name, details)
	switch {
	case err != nil:
		item.Message = err.Error()
	case len(findings) == 0:
		item.State = OK
	default:
		item.State, item.Next = Todo, findings[0].Mend
		item.Message = findings[0].Problem
		if findings[0].Value != "" {
			item.Message = findings[0].Value + ": " + item.Message
		}
		if more := len(findings) - 1; more > 0 {
			item.Message += fmt.Sprintf(" (and %d more)", more)
		}
	}
	return item
}

func reachableItem(s deploy.Status) Item {
	if s.Err != nil {
		return Item{Name: "reachable", State: Todo, Message: s.Error}
	}
	return Item{Name: "reachable", State: OK, Message: s.Target + ", " + s.Found.Store.String()}
}

func keyItem(s deploy.Status) Item {
	item := Item{Name: "age key", State: OK, Message: string(s.Key)}
	switch s.Key {
	case deploy.KeyMissing, deploy.KeyOther, deploy.KeyExposed:
		item.State, item.Next = Todo, "fleet host bootstrap "+s.Machine
	case deploy.KeyUnseen:
		item.State = Unclear
	}
	return item
}

func systemItem(s deploy.Status) Item {
	item := Item{Name: "system", State: Todo, Message: string(s.Verdict)}
	switch s.Verdict {
	case deploy.UpToDate:
		item.State = OK
		item.Message = fmt.Sprintf("%s, generation %d", s.Verdict, s.Found.Generation)
	case deploy.NeverDeployed:
		item.Next = "fleet host bootstrap " + s.Machine
	case deploy.Differs:
		item.Next = "fleet machines update " + s.Machine
	default:
		item.State = Unclear
	}
	if s.Found.Activating != "" {
		item.Message += "; the last activation has not succeeded"
	}
	return item
}

func unitsItem(s deploy.Status) Item {
	switch {
	case !s.Found.Systemd:
		return Item{Name: "units", State: OK, Message: "it has no systemd"}
	case len(s.Found.FailedUnits) > 0:
		return Item{Name: "units", State: Todo, Message: "failed: " + strings.Join(s.Found.FailedUnits, ", ")}
	}
	return Item{Name: "units", State: OK}
}
