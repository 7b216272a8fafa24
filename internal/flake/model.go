package flake

import (
	"encoding/json"
	"errors"

	"github.com/crs58/fleet/internal/nix"
)

// Class is the kind of system a machine runs.
type Class string

// The classes that the evaluation core knows.
const (
	NixOS  Class = "nixos"
	Darwin Class = "darwin"
)

// Inventory is what a flake says about its fleet without evaluating a single
// machine: cheap to read, and enough to list and select.
type Inventory struct {
	Meta      Meta                 `json:"meta"`
	Machines  map[string]Machine   `json:"machines"`
	Instances map[string]*Instance `json:"instances"`
	// Warnings are findings of the evaluation that do not stop it, such as a
	// tag that no machine carries.
	Warnings []string `json:"warnings,omitempty"`
	// Folder is where the fleet's files lie below the flake's folder, as clan's
	// `directory` says it; empty at its top.
	Folder string `json:"folder,omitempty"`
}

// Meta names the fleet.
type Meta struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Domain      string `json:"domain,omitempty"`
}

// Machine is one entry of inventory.machines, with the tags that the core adds
// (all, nixos, darwin and those of inventory.tags).
type Machine struct {
	Name        string   `json:"name"`
	Class       Class    `json:"class"`
	Tags        []string `json:"tags"`
	Description string   `json:"description,omitempty"`
	Deploy      Deploy   `json:"deploy"`
}

// Deploy says where a machine is reached. TargetHost is ssh://[user@]host[:port],
// [user@]host, "local" or root:PATH; a relative PATH is below the flake's folder.
type Deploy struct {
	TargetHost string   `json:"targetHost,omitempty"`
	BuildHost  string   `json:"buildHost,omitempty"`
	Addresses  []string `json:"addresses,omitempty"`
}

// Instance is one entry of inventory.instances with its roles resolved.
type Instance struct {
	Module ModuleRef        `json:"module"`
	Roles  map[string]*Role `json:"roles"`
}

// ModuleRef names the service module of an instance; an empty Input means the
// core's own services.
type ModuleRef struct {
	Name  string `json:"name"`
	Input string `json:"input,omitempty"`
}

// Role holds the machines that have a role, by name or by tag, and the settings
// each of them ends up with.
type Role struct {
	Machines map[string]*RoleMachine `json:"machines"`
	// Before are roles of the same instance whose machines are updated after
	// those of this one.
	Before []string `json:"before,omitempty"`
}

// RoleMachine is one machine in one role.
type RoleMachine struct {
	// Via tells why the machine is in the role: "machine" or "tag:NAME".
	Via []string `json:"via"`
	// Settings are the merged settings; Origins tells for each leaf, named by
	// its dotted path, which layer set it: instance, role, tag:NAME or machine.
	Settings json.RawMessage   `json:"settings,omitempty"`
	Origins  map[string]string `json:"origins,omitempty"`
}

// Details is what only the evaluation of the machine itself can tell.
type Details struct {
	Name string `json:"name"`
	// System is the machine's platform, such as aarch64-darwin. Of a clan
	// machine it is evaluated together with Toplevel only.
	System     string                `json:"system"`
	Generators map[string]*Generator `json:"generators"`
	// SecretUploadDirectory is where the machine's age key lies on the machine,
	// in a file named key.txt.
	SecretUploadDirectory string `json:"secretUploadDirectory"`
	// Store is how the values are kept; empty where that is left to fleet.
	Store Store `json:"store,omitzero"`
	// Deploy is where the machine's own modules say that it is reached, and
	// evaluated together with Toplevel only. What the inventory says goes first:
	// see Fleet.DeployOf.
	Deploy Deploy `json:"deploy,omitzero"`
	// RequireExplicitUpdate keeps the machine out of an update of all machines:
	// it has to be named.
	RequireExplicitUpdate bool `json:"requireExplicitUpdate,omitempty"`
	// Networks are ways to the machine, the best first: see Fleet.DeployOf. They
	// are evaluated together with Toplevel only.
	Networks []Network `json:"networks,omitempty"`
	// Health says how a new system is judged. It is evaluated together with
	// Toplevel only; nil where the machine says nothing.
	Health *Health `json:"health,omitempty"`
	// Toplevel is the system closure; it may be nil unless asked for.
	Toplevel *Derivation `json:"toplevel,omitempty"`
}

// Store is how a machine's values are kept in the repository.
type Store struct {
	// Secret is sops, age or password-store; anything else is the name of a
	// store of the flake's own, which only its own program knows.
	Secret string `json:"secret,omitempty"`
	// Public is in_repo, or again a name that fleet does not know.
	Public string `json:"public,omitempty"`
	// Groups read every secret of the machine beside the machine itself
	// (clan.core.sops.defaultGroups).
	Groups []string `json:"groups,omitempty"`
	// Recipients are the age recipients of the machine's key and of what is not
	// deployed, in the store age (vars.settings.recipients).
	Recipients []string `json:"recipients,omitempty"`
}

// Network is a way to a machine that a service provides.
type Network struct {
	// Name is the instance of the service, Technology how it connects: direct,
	// tor, zerotier, p2p_ssh_iroh.
	Name       string `json:"name"`
	Technology string `json:"technology"`
	// Priority orders networks; the highest is the first.
	Priority int    `json:"priority"`
	User     string `json:"user,omitempty"`
	Port     int    `json:"port,omitempty"` // 0 is 22
	Hosts    []Host `json:"hosts"`
}

// Host is an address, or the public value that holds it.
type Host struct {
	Plain string    `json:"plain,omitempty"`
	Var   *ValueRef `json:"var,omitempty"`
}

// ValueRef names a public value.
type ValueRef struct {
	Machine   string `json:"machine"`
	Generator string `json:"generator"`
	File      string `json:"file"`
}

// Derivation is something that Nix can build.
type Derivation struct {
	DrvPath string `json:"drvPath"`
	OutPath string `json:"out"`
}

// Generator is one entry of clan.core.vars.generators.
type Generator struct {
	Name           string             `json:"name"`
	Share          bool               `json:"share"`
	Dependencies   []string           `json:"dependencies"`
	ValidationHash string             `json:"validationHash,omitempty"`
	Prompts        map[string]*Prompt `json:"prompts"`
	Files          map[string]*File   `json:"files"`
	// Script runs on the administrator's platform. In its place there may be
	// Builtin, which package vars executes itself. Both are nil of a clan
	// generator whose script does not evaluate for that platform.
	Script *Derivation `json:"script,omitempty"`
	// Shell has the bash that a script is run with if it names no interpreter
	// itself, as clan's do.
	Shell   *Derivation `json:"shell,omitempty"`
	Builtin *Builtin    `json:"builtin,omitempty"`
}

// Builtin is a generator that needs no script. What Settings are is a matter of
// its Kind, such as token or ssh-key.
type Builtin struct {
	Kind     string          `json:"kind"`
	Settings json.RawMessage `json:"settings"`
}

// Prompt is a question whose answer a generator reads from $prompts/NAME.
type Prompt struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Type        string  `json:"type"` // hidden, line, multiline, multiline-hidden
	Persist     bool    `json:"persist"`
	Display     Display `json:"display"`
}

// Display is how a prompt presents itself.
type Display struct {
	Group      string `json:"group,omitempty"`
	Label      string `json:"label,omitempty"`
	HelperText string `json:"helperText,omitempty"`
	Required   bool   `json:"required"`
}

// File is one value that a generator makes.
type File struct {
	Name   string `json:"name"`
	Secret bool   `json:"secret"`
	Deploy bool   `json:"deploy"`
	Owner  string `json:"owner"`
	Group  string `json:"group"`
	Mode   string `json:"mode"`
	// NeededFor is partitioning, activation, users or services.
	NeededFor    string   `json:"neededFor"`
	RestartUnits []string `json:"restartUnits"`
	// Path is where the value lies on the machine; empty for public values.
	Path string `json:"path,omitempty"`
}

// MachineError is the evaluation error of one machine among several. Its text
// does not name the machine: whoever shows it does.
type MachineError struct {
	Machine string
	Err     error
}

func (e *MachineError) Error() string {
	return "it does not evaluate: " + reason(e.Err)
}

// reason is what Nix says, without the command that was run.
func reason(err error) string {
	if failed, ok := errors.AsType[*nix.Error](err); ok {
		return failed.Reason()
	}
	return err.Error()
}

func (e *MachineError) Unwrap() error { return e.Err }
