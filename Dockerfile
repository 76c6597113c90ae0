# Production dependencies alone; the npm package `node` is a development one, since this image brings its own.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json README.md LICENSE ./
COPY bin ./bin
COPY config ./config
COPY samples/picture.jpg ./samples/picture.jpg
COPY src ./src
# Inside a container, the loopback interface is nobody's; the operator's port stays there unless it is opened on purpose.
ENV CHATFILES_LISTEN__HOST=0.0.0.0
USER node
EXPOSE 8080
# Give it more than drain.deadlineMs: docker stop --timeout 30.
STOPSIGNAL SIGTERM
# Exec form: signals reach the gateway itself, which drains on SIGTERM. A small young generation keeps the memory of a
# worn process level; uploads are not in the heap.
ENTRYPOINT ["node", "--max-semi-space-size=4", "src/main.ts"]
CMD ["start"]
