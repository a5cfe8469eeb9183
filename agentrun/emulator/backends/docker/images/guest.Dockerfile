# A system with the server of a sandbox: made anew in a second whenever the package changes.
ARG SYSTEM
FROM ${SYSTEM}
COPY enter.py filter /opt/agentrun/
COPY agentrun/ /opt/agentrun/agentrun/
RUN /opt/venv/bin/python -m compileall -q /opt/agentrun
WORKDIR /home/user
