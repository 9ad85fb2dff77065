FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# the pins first: a change of the code does not install them again
COPY requirements.lock ./
RUN pip install -r requirements.lock

COPY pyproject.toml README.md ./
COPY fluxora_tasks ./fluxora_tasks
COPY workers ./workers
RUN pip install --no-deps . \
    && useradd --create-home --uid 10001 fluxora \
    && install -d -o fluxora /app/.fluxora

USER fluxora
VOLUME /app/.fluxora
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "workers.app", "worker", "--loglevel", "INFO"]
