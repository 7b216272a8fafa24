package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/repository"
)

// NoRecipientsError says that the flake names nobody who could read the key of a
// machine, of any machine where Machine is "".
type NoRecipientsError struct {
	Machine string
}

func (e *NoRecipientsError) Error() string {
	if e.Machine == "" {
		return "vars.settings.recipients in the flake names nobody: add your public key to its default (`age-keygen -o ~/.config/age/identities` makes one)"
	}
	return fmt.Sprintf("vars.settings.recipients in the flake names nobody for machine %[1]s: add your public key to its default or hosts.%[1]s", e.Machine)
}

// Is makes the error of a whole fleet match [ErrNoAdmin].
func (e *NoRecipientsError) Is(target error) bool { return target == ErrNoAdmin && e.Machine == "" }

// Wanted is the policy: the machines, otherwise whom the flake names for the
// machine, of a shared secret for all machines that declare it. clan does the
// same when it makes a secret; its fix gives a shared one that is not deployed
// to those of the first machine only.
func (a *Age) Wanted(ref Ref, machines []Holder) (recipients []string, err error) {
	if len(machines) == 0 {
		recipients, err = a.named(ref)
		return normalizeRecipients(recipients), err
	}
	for _, machine := range machines {
		if ref.Machine != "" && machine.Name != ref.Machine {
			return nil, fmt.Errorf("%s belongs to machine %s and cannot be given to %s: share the generator", ref, ref.Machine, machine.Name)
		}
		own, err := ageRecipients("machine "+machine.Name, machine)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, own...)
	}
	return normalizeRecipients(recipients), nil
}

// named are those whom the flake names for a secret that is not deployed, spelled
// as there; for what it does not tell, those whom the note names.
func (a *Age) named(ref Ref) (recipients []string, err error) {
	machines, unknown := []string{ref.Machine}, false
	if ref.Machine == "" {
		machines = a.opts.Sharing[ref.Generator]
		unknown = !a.opts.Whole
	}
	for _, machine := range machines {
		named, known := a.opts.Recipients[machine]
		switch {
		case !known:
			unknown = true
		case len(named) == 0:
			return nil, &NoRecipientsError{machine}
		}
		for _, recipient := range named {
			if _, err := parseRecipient(recipient); err != nil {
				return nil, fmt.Errorf("vars.settings.recipients of machine %s: %w", machine, err)
			}
		}
		recipients = append(recipients, named...)
	}
	if unknown || len(machines) == 0 {
		noted, _, err := a.noted(ref)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, noted...)
	}
	if len(recipients) == 0 {
		return nil, &NoRecipientsError{ref.Machine}
	}
	if ref.Machine == "" { // several may name the same
		slices.Sort(recipients)
		recipients = slices.CompactFunc(recipients, func(a, b string) bool { return NormalizeRecipient(a) == NormalizeRecipient(b) })
	}
	return recipients, nil
}

// AdminRecipients are all whom the flake names for any machine; if it was not
// asked, all who read the key of a machine.
func (a *Age) AdminRecipients() (recipients []string, err error) {
	for _, named := range a.opts.Recipients {
		recipients = append(recipients, named...)
	}
	if a.opts.Recipients == nil {
		keys, err := a.Others()
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			noted, _, err := a.noted(key)
			if err != nil {
				continue // who looks at the key is told
			}
			recipients = append(recipients, noted...)
		}
	}
	// What is none may be a private key, which nobody must come to see.
	recipients = slices.DeleteFunc(recipients, func(recipient string) bool {
		_, err := parseRecipient(recipient)
		return err != nil
	})
	if len(recipients) == 0 {
		return nil, &NoRecipientsError{}
	}
	return normalizeRecipients(recipients), nil
}

// Users are the administrators, called by their keys.
func (a *Age) Users() (users []Holder, err error) {
	recipients, err := a.AdminRecipients()
	for _, key := range recipients {
		users = append(users, Holder{Name: key, Keys: []Key{{PublicKey: key, Type: "age"}}})
	}
	if errors.Is(err, ErrNoAdmin) {
		err = nil
	}
	return users, err
}

func (a *Age) notePath(ref Ref) (string, error) {
	file, err := a.Path(ref)
	return file + noteSuffix, err
}

// noted reads the note beside a secret of who reads it, spelled as there, and
// tells whether there is one.
func (a *Age) noted(ref Ref) (recipients []string, there bool, err error) {
	file, err := a.notePath(ref)
	if err != nil {
		return nil, false, err
	}
	data, err := a.readFile(file)
	if isMissing(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if _, err := parseRecipient(line); err != nil {
			return nil, true, &NoteError{Path: file, Problem: fmt.Sprintf("holds, as entry %d, what is no public key", len(recipients)+1)}
		}
		recipients = append(recipients, line)
	}
	return recipients, true, nil
}

// NoteError says that the note of who reads a secret cannot be true.
type NoteError struct {
	Path    string // of the note
	Problem string
}

func (e *NoteError) Error() string {
	return fmt.Sprintf("%s %s: restore it from git together with the secret, or remove it and let `fleet vars fix` encrypt the secret anew", e.Path, e.Problem)
}

// readers tells who reads a secret: those in the note beside it, otherwise its
// machine, as far as that fits what is encrypted. An age file itself does not
// name its recipients. Nobody is said to read what nothing tells of.
func (a *Age) readers(ref Ref) ([]string, error) {
	data, err := a.Read(ref)
	if err != nil {
		return nil, err
	}
	parsed, err := parseAge(data)
	if err != nil {
		return nil, err
	}
	noted, there, err := a.noted(ref)
	if err != nil {
		return nil, err
	}
	if there && parsed.isFor(noted) {
		return normalizeRecipients(noted), nil
	}
	// A note may be left from when the secret was not deployed.
	if ref.Machine != "" && !ref.IsKey() {
		machine, err := a.Machine(ref.Machine)
		if err != nil && !errors.Is(err, ErrNoMachineKey) {
			return nil, err
		}
		if own := machine.Recipients(); len(own) > 0 && parsed.isFor(own) {
			return own, nil
		}
	}
	if there {
		note, err := a.notePath(ref)
		return nil, errors.Join(err, &NoteError{Path: note, Problem: "names others than the secret is encrypted to"})
	}
	return nil, nil
}

// seal encrypts a value and notes who reads it, unless that is the machine alone
// that it belongs to.
func (a *Age) seal(ctx context.Context, ref Ref, plain []byte, recipients []string) ([]repository.File, error) {
	file, err := a.Path(ref)
	if err != nil {
		return nil, err
	}
	if ref.Machine != "" && !ref.IsKey() {
		machine, err := a.Machine(ref.Machine)
		if err != nil && !errors.Is(err, ErrNoMachineKey) {
			return nil, err
		}
		if SameRecipients(recipients, machine.Recipients()) {
			data, err := sealAge(ctx, plain, machine.Recipients())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", ref, err)
			}
			stale, err := a.Links(ref, nil)
			return append([]repository.File{{Path: file, Data: data}}, stale...), err
		}
	}
	lines := normalizeRecipients(recipients)
	if named, err := a.named(ref); err == nil && SameRecipients(named, recipients) {
		lines = named
		slices.Sort(lines)
	}
	data, err := sealAge(ctx, plain, lines)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return []repository.File{
		{Path: file, Data: data},
		{Path: file + noteSuffix, Data: []byte(strings.Join(lines, "\n") + "\n")},
	}, nil
}

// pair is the key of a machine as its two files hold it: the private one as
// age-keygen prints it, which is also how it comes to the machine.
func (a *Age) pair(public string, private []byte, now time.Time) (announced, plain []byte) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "# created: %s\n", now.Format(time.RFC3339))
	text.Write(FormatIdentity(public, private))
	return []byte(public), text.Bytes()
}
