{
  inventory.meta = {
    name = "demo";
    description = "Four Macs and four servers";
    domain = "zt";
  };

  inventory.machines = {
    stibnite = {
      machineClass = "darwin";
      tags = [
        "workstation"
        "laptop"
      ];
      description = "Primary workstation";
      deploy.targetHost = "root:.roots/stibnite";
    };
    blackphos = {
      machineClass = "darwin";
      tags = [
        "workstation"
        "laptop"
      ];
      description = "Laptop";
      deploy.targetHost = "root:.roots/blackphos";
    };
    rosegold = {
      machineClass = "darwin";
      tags = [
        "workstation"
        "laptop"
      ];
      description = "Family laptop";
      deploy.targetHost = "root:.roots/rosegold";
    };
    argentum = {
      machineClass = "darwin";
      tags = [
        "workstation"
        "laptop"
      ];
      description = "The newest laptop";
      deploy.targetHost = "root:.roots/argentum";
    };

    cinnabar = {
      machineClass = "nixos";
      tags = [
        "server"
        "cloud"
        "hetzner"
      ];
      description = "Controller of the overlay network";
      deploy.targetHost = "root:.roots/cinnabar";
    };
    electrum = {
      machineClass = "nixos";
      tags = [
        "server"
        "cloud"
        "hetzner"
      ];
      description = "Web server";
      deploy.targetHost = "root:.roots/electrum";
    };
    galena = {
      machineClass = "nixos";
      tags = [
        "server"
        "cloud"
        "gcp"
      ];
      description = "Batch jobs";
      deploy.targetHost = "root:.roots/galena";
    };
    scheelite = {
      machineClass = "nixos";
      tags = [
        "server"
        "cloud"
        "gcp"
      ];
      description = "Batch jobs with a GPU";
      deploy.targetHost = "root:.roots/scheelite";
    };
  };
}
