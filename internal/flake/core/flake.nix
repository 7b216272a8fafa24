{
  description = "The evaluation core of fleet: deferred modules, inventory, instances, vars";

  outputs = _: import ./.;
}
