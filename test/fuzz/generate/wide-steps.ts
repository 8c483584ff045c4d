// RUN with several mounts that lie in, on and over each other, in every spelling; and RUN that looks at its sandbox.
import type { FuzzCase } from "../fuzz-case.ts";
import type { Random } from "../random.ts";

const TARGETS = [
  "/m",
  "/m",
  "/m/in",
  "/m/in/deep",
  "/m/a.txt",
  "/m/",
  "/etc/passwd",
  "/share",
  "/share/sub",
  "/dead",
  "/tmp",
  "/run/x",
  "/var/run/x",
  "rel",
  "./rel/../m",
  "../up",
  "/usr/share/doc",
  "/usr/share/doc/one",
  "/new/of/this",
  "/opt/owned",
  "/opt/owned/deep/n",
  "/dev/shm/x",
  "/m/$A",
  "/m/${NOPE:-in}",
] as const;

/** Two to four mounts, and what the step sees at each of their targets. */
export function mountsMany(random: Random, each: FuzzCase): string {
  const targets = random.list(2, 4, () => random.pick(TARGETS));
  const flags = targets.map((target) => `--mount=${mount(random, each, target)}`);
  const shown = [...new Set(targets)].map((target) => `"${target.replace(/\$.*$/, "")}"`).join(" ");
  const into = `/seen-${random.between(1, 99)}`;
  const empty = flags.flatMap((flag) => (flag.includes("cache") ? `rm -rf "${targetOf(flag)}"/*; ` : [])).join("");
  const look = `stat -c '%n %F %a %u %g' "$t" "$t"/*; ls -a "$t"; timeout 2 cat "$t"; echo new > "$t/new"; echo $?`;
  const own = random.chance(0.3) ? `; echo over > "$t"; mkdir -p "$t/made/here"` : "";
  const command = `${empty}for t in ${shown}; do ${look}${own}; done > ${into} 2>&1; echo "$SECRET" >> ${into}; true`;
  return `RUN ${flags.join(" ")} ${command}`;
}

function targetOf(flag: string): string {
  return (/(?:target|dst|destination)=([^,"$]*)/i.exec(flag)?.[1] ?? "/nowhere").replace(/\/$/, "");
}

function mount(random: Random, each: FuzzCase, target: string): string {
  const key = random.weighted([
    [5, "target"],
    [2, "dst"],
    [2, "destination"],
    [1, "TARGET"],
  ] as const);
  const place = `${key}=${target}`;
  const fields = random.weighted<() => readonly string[]>([
    [5, () => bind(random, each, place)],
    [
      3,
      () => [
        "type=tmpfs",
        place,
        ...random.some([random.pick(["size=1m", "size=4096", "size=1k", "ro", "readonly=false"])], 0.4),
      ],
    ],
    [3, () => cache(random, place)],
    [3, () => secret(random, place)],
    [1, () => ["type=ssh", ...random.some([place, "mode=0600", "gid=6"], 0.6)]],
  ])();
  const shuffled = random.chance(0.3) ? fields.toReversed() : fields;
  const text = shuffled.join(",");
  return random.chance(0.08) ? `"${text}"` : random.chance(0.05) ? text.replace("type=", "TYPE=") : text;
}

function bind(random: Random, each: FuzzCase, place: string): string[] {
  const stages = each.parts.flatMap((part) => /^\s*FROM\s.*\bAS\s+(\S+)\s*$/is.exec(part)?.[1] ?? []);
  const isStage = random.chance(0.45);
  const from = isStage ? [`from=${random.pick(["busybox", "busybox", ...stages, "0"])}`] : [];
  const paths = isStage
    ? [
        "/",
        "/usr/share/doc",
        "/etc/passwd",
        "/share",
        "/dead",
        "/opt/owned/deep",
        "usr/share",
        "/usr/share/doc/one",
        "../etc",
      ]
    : ["/", ".", "..", "./src", "src/", ...each.files.map(({ path }) => path.replaceAll(/[,"\s]/g, ""))];
  const source = random.chance(0.7) ? [`${random.pick(["source", "src", "Source"])}=${random.pick(paths)}`] : [];
  const access = random.chance(0.5)
    ? [random.pick(["rw", "readwrite", "rw=true", "readwrite=1", "ro", "readonly", "readonly=false", "ro=0", "RW"])]
    : [];
  return [...random.some(["type=bind"], 0.6), ...from, ...source, place, ...access];
}

function cache(random: Random, place: string): string[] {
  const id = `id=fuzz-wide-${random.between(1, 1e9)}`;
  const options = random.some(
    [
      `sharing=${random.pick(["shared", "locked", "private", "LOCKED"])}`,
      `mode=${random.pick(["0711", "755", "1777", "0"])}`,
      `uid=${random.pick(["5", "1000"])}`,
      "gid=6",
      "readonly=false",
      ...(random.chance(0.3) ? ["from=busybox", `source=${random.pick(["/usr/share/doc", "/share", "/etc"])}`] : []),
    ],
    0.35,
  );
  return [
    "type=cache",
    id,
    place,
    ...options.filter((option) => !option.startsWith("source") || options.includes("from=busybox")),
  ];
}

function secret(random: Random, place: string): string[] {
  const id = random.pick(["id=fuzz", "id=fuzz", "source=fuzz", "src=fuzz", "id=missing"]);
  const options = random.some(
    [place, "env=SECRET", `mode=${random.pick(["0444", "0", "0777", "4755"])}`, "uid=5", "gid=6", "required=false"],
    0.4,
  );
  return ["type=secret", id, ...options];
}

/** What BuildKit gives a step, and what it keeps from it (reference 6): only what is the same on every machine. */
const LOOKS = [
  "ls -a /dev/pts /dev/shm /dev/mqueue; stat -c '%n %F %a %u %g' /dev/pts /dev/shm /dev/mqueue /proc /sys",
  "for f in /dev/null /dev/zero /dev/full /dev/random /dev/tty /dev/ptmx; do stat -c '%n %F %a %u %g %t %T' $f; done",
  "for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/acpi /proc/scsi /sys/firmware; do stat -c '%n %F %a %t %T' $f; head -c 4 $f | wc -c; ls $f | wc -l; done",
  "for f in /proc/sys/kernel/hostname /proc/bus/x /proc/fs/x /proc/irq/x /sys/x; do echo 1 > $f && echo written $f; done",
  "cat /proc/self/uid_map /proc/self/setgroups",
  "grep -E '^(Groups|Umask|NoNewPrivs|Seccomp|SigBlk|SigIgn|Cap)' /proc/self/status",
  "cat /proc/1/comm; echo $$; ls /proc | grep -c '^[0-9]'",
  "for c in 'mount -t tmpfs none /mnt' 'umount /proc' 'chroot / true' 'mknod /made-null c 1 3' 'hostname x' 'unshare -m true' 'kill -0 1' 'nice -n -5 true' 'dmesg' 'swapoff -a' 'mknod /made-block b 7 0' 'cat /made-block' 'insmod x' 'renice -5 1'; do $c > /dev/null 2>&1 && echo \"can $c\" || echo \"cannot $c\"; done",
  "df -k /dev/shm | awk 'NR==2{print $2}'; hostname; grep -E 'fuzzhost|six' /etc/hosts",
  "for f in /dev/null /dev/zero /dev/full /dev/kmsg /dev/fuse; do echo x > $f && echo written $f; done",
  "ls -ld /etc/resolv.conf /etc/hosts | cut -c1-10; echo own >> /etc/hosts; rm -f /etc/resolv.conf || echo kept",
  "test -t 0 || echo no terminal; cat | wc -c",
  "umask 077; touch /masked; stat -c %a /masked",
  "ulimit -c; cd /proc/self/cwd && pwd",
  "touch /run/in-run /tmp/in-tmp /var/run/in-var-run /dev/in-dev /dev/shm/in-shm; ls /dev/in-dev",
] as const;

export function looksAround(random: Random): string {
  const into = `/look-${random.between(1, 99)}`;
  const user = random.chance(0.25) ? `USER ${random.pick(["app", "4242", "5:6", "nobody", "root"])}\n` : "";
  const network = random.chance(0.2) ? "--network=none " : "";
  return `${user}RUN ${network}{ ${random.pick(LOOKS)}; } > ${user === "" ? into : `/tmp${into}`} 2>&1; true`;
}
