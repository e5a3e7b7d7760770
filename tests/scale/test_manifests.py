"""The Kubernetes manifests fit each other, the program's settings, its image and the guide."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from landscape import ROOT, __version__, configuration

FOLDER = ROOT / "deploy" / "kubernetes"
GUIDE = (ROOT / "docs" / "scaling.md").read_text()


def documents() -> list[dict]:
    return [each for path in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]


def of(kind: str) -> dict[str, dict]:
    return {each["metadata"]["name"]: each for each in documents() if each["kind"] == kind}


def containers() -> dict[str, dict]:
    return {name: each["spec"]["template"]["spec"]["containers"][0] for name, each in of("Deployment").items()}


def words(container: dict) -> str:
    return " ".join(container["command"])


def test_every_file_is_listed_and_every_listed_file_is_there():
    (kustomization,) = [each for each in documents() if each["kind"] == "Kustomization"]
    assert sorted(kustomization["resources"]) == sorted(path.name for path in FOLDER.glob("*.yaml")
                                                        if path.name != "kustomization.yaml")
    (image,) = kustomization["images"]
    assert image["newTag"] == __version__
    assert {each["image"] for each in containers().values()} == {image["name"]}
    assert kustomization["namespace"] in of("Namespace")
    assert f"{image['newName']}:{image['newTag']}" in GUIDE
    assert f"-t {image['newName']}:{image['newTag']}" in (ROOT / "deploy" / "Dockerfile").read_text()


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl_puts_them_together():
    done = subprocess.run(["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    assert len(made) == len(documents()) - 1
    assert all(each["metadata"].get("namespace", "landscape") == "landscape" for each in made)
    images = {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in made if each["kind"] == "Deployment"}
    assert images == {f"registry.example.org/landscape:{__version__}"}


def test_selectors_find_the_pods_and_services_their_ports():
    deployments = of("Deployment")
    for each in deployments.values():
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"].items() <= labels.items()
        (container,) = each["spec"]["template"]["spec"]["containers"]
        named = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            found = container.get(probe, {})
            assert all(found[how]["port"] in named for how in ("tcpSocket", "httpGet") if how in found), (container, probe)
        assert {"readinessProbe", "livenessProbe"} <= container.keys()
    for service in of("Service").values():
        found = [each for each in deployments.values()
                 if service["spec"]["selector"].items() <= each["spec"]["template"]["metadata"]["labels"].items()]
        assert len(found) == 1
        named = {port["name"] for port in found[0]["spec"]["template"]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_everybody_finds_the_scheduler_at_the_port_it_has():
    (service,) = [each for name, each in of("Service").items() if name == "landscape-scheduler"]
    address = f"tcp://landscape-scheduler:{service['spec']['ports'][0]['port']}"
    found = containers()
    scheduler = found["landscape-scheduler"]
    assert f"--port {scheduler['ports'][0]['containerPort']} " in words(scheduler) + " "
    assert f"worker {address} " in words(found["landscape-workers"])
    (settings,) = of("ConfigMap").values()
    assert settings["data"]["LANDSCAPE_SCHEDULER"] == address
    for port in found["landscape-workers"]["ports"]:
        assert f"--{port['name']}-port {port['containerPort']} " in words(found["landscape-workers"])
    assert f"--port {found['landscape-app']['ports'][0]['containerPort']} " in words(found["landscape-app"])


def test_settings_are_those_the_program_knows():
    (settings,) = of("ConfigMap").values()
    given = set(settings["data"]) | {each["name"] for one in containers().values() for each in one.get("env", [])}
    for name in given:
        assert name.removeprefix("LANDSCAPE_").lower() in configuration.KEYS, name
    said = settings["data"]
    (ingress,) = of("Ingress").values()
    hosts = [said["LANDSCAPE_HOSTS"]]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == hosts == ingress["spec"]["tls"][0]["hosts"]
    probe = containers()["landscape-app"]["readinessProbe"]["httpGet"]
    assert probe["path"] == "/_stcore/health"
    assert probe["httpHeaders"] == [{"name": "Host", "value": said["LANDSCAPE_HOSTS"]}]
    assert {"name": "LANDSCAPE_DATA", "value": said["LANDSCAPE_DATA"]} in containers()["landscape-workers"]["env"]


def test_what_is_mounted_is_claimed_and_what_is_set_lies_in_it():
    claims, settings = of("PersistentVolumeClaim"), next(iter(of("ConfigMap").values()))["data"]
    mounted = {}
    for name, each in of("Deployment").items():
        pod = each["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        (container,) = pod["containers"]
        mounted[name] = {mount["mountPath"]: volumes[mount["name"]] for mount in container.get("volumeMounts", [])}
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
    store = mounted["landscape-app"]["/store"]["persistentVolumeClaim"]["claimName"]
    shared = mounted["landscape-app"]["/shared"]["persistentVolumeClaim"]["claimName"]
    assert claims[store]["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claims[shared]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert mounted["landscape-workers"]["/shared"]["persistentVolumeClaim"]["claimName"] == shared
    assert settings["LANDSCAPE_HOME"].startswith("/store/")
    assert settings["LANDSCAPE_WEIGHTS"].startswith("file:///shared/")
    assert settings["LANDSCAPE_DATA"].startswith("/shared/")
    login = mounted["landscape-app"]["/login"]["secret"]["secretName"]
    assert f"create secret generic {login} --from-file=secrets.toml" in GUIDE
    (ingress,) = of("Ingress").values()
    (tls,) = ingress["spec"]["tls"]
    assert f"create secret tls {tls['secretName']} " in GUIDE
    assert "install -m 600 /login/secrets.toml .streamlit/secrets.toml" in words(containers()["landscape-app"])


def test_no_pod_has_more_rights_than_it_needs_and_only_our_own_reach_the_scheduler():
    for each in of("Deployment").values():
        pod = each["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    everyone = of("NetworkPolicy")["landscape"]["spec"]
    ours = {"app.kubernetes.io/name": "landscape"}
    assert everyone["podSelector"]["matchLabels"] == ours
    assert everyone["ingress"] == [{"from": [{"podSelector": {"matchLabels": ours}}]}]
    pages = of("NetworkPolicy")["landscape-pages"]["spec"]
    assert pages["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "app"
    for name in ("landscape-app", "landscape-scheduler"):  # one writer, one scheduler
        assert of("Deployment")[name]["spec"]["replicas"] == 1
        assert of("Deployment")[name]["spec"]["strategy"] == {"type": "Recreate"}


def test_the_image_has_what_the_commands_call():
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    (person,) = re.findall(r"^USER (\d+)$", text, re.MULTILINE)
    pods = [each["spec"]["template"]["spec"] for each in of("Deployment").values()]
    assert {pod["securityContext"]["runAsUser"] for pod in pods} == {int(person)}
    assert "constraints.txt" in text
    assert "[login]" in text
    assert {each["command"][0] for each in containers().values()} == {"dask", "sh"}


def test_the_image_has_nothing_that_is_no_part_of_the_program():
    left_out = (ROOT / ".dockerignore").read_text().splitlines()
    for line in (ROOT / ".gitignore").read_text().split():
        name = line.strip("/")
        assert {name, f"**/{name}"} & set(left_out), line
    assert {".git", ".streamlit/secrets.toml", "landscape.toml"} <= set(left_out)
    assert not {"app.py", "pages", "landscape", "assets", ".streamlit", "constraints.txt"} & set(left_out)
