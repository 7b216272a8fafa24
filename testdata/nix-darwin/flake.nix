{
  description = "A small nix-darwin on the offline nixpkgs";

  # A consumer writes `inputs.nix-darwin.inputs.nixpkgs.follows = "nixpkgs"`.
  inputs.nixpkgs.url = "path:../nixpkgs";

  outputs =
    { nixpkgs, ... }:
    {
      lib.darwinSystem = import ./system.nix { inherit nixpkgs; };
    };
}
