{
  description = "A small home-manager on the offline nixpkgs";

  # A consumer writes `inputs.home-manager.inputs.nixpkgs.follows = "nixpkgs"`.
  inputs.nixpkgs.url = "path:../nixpkgs";

  outputs =
    { nixpkgs, ... }:
    let
      module = class: {
        _class = class;
        imports = [
          ./system/common.nix
          ./system/${class}.nix
        ];
      };
    in
    {
      lib.homeManagerConfiguration = import ./configuration.nix { inherit nixpkgs; };
      lib.hm = import ./hm.nix { inherit (nixpkgs) lib; };
      nixosModules.home-manager = module "nixos";
      nixosModules.default = module "nixos";
      darwinModules.home-manager = module "darwin";
      darwinModules.default = module "darwin";
    };
}
