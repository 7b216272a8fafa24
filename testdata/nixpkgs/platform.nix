# The platform that builds, whatever the system that a package is for: what our
# packages hold is text, scripts and copies of static programs of the host at
# hand. Evaluation is pure and cannot ask the host, so it stands here, and who
# copies this folder to another kind of host changes this line.
"x86_64-linux"
